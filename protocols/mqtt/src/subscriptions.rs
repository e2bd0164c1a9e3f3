//! The subscriptions of a session, and which of them a message came by: a queue knows what it is bound by, and not what of that
//! a message matched.

use std::hash::BuildHasher;

use gantry_broker::exchange::trie::{Syntax, Trie};
use hashbrown::HashMap;
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use crate::codec::packet::{QoS, RetainHandling, SubscribeOptions};
use crate::sessions::is_system;
use crate::topics;

/// The consumer of the session's own queue.
pub(crate) const TOKEN_OWN: u64 = 0;

/// The outlet of the queue that stores nothing.
pub(crate) const TOKEN_DIRECT: u64 = 1;

/// The first of the consumers of shared queues; none is given twice in a connection.
pub(crate) const TOKEN_SHARED_FIRST: u64 = 2;

/// So many filters are compared one by one; more have a trie.
const FILTERS_FEW: usize = 8;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The share name of a shared subscription.
    pub(crate) group: Option<Box<str>>,
    /// The filter, without `$share/group/`.
    pub(crate) filter: Box<str>,
    /// As they were granted.
    pub(crate) options: SubscribeOptions,
    /// 1 to 268,435,455.
    pub(crate) id: Option<u32>,
    /// The consumer that it has in this connection, of a shared one.
    pub(crate) token: u64,
}

impl Subscription {
    /// What no other subscription of the session has.
    fn key(&self) -> (Option<&str>, &str) {
        (self.group.as_deref(), &self.filter)
    }

    /// Whether messages wait for it in a queue.
    pub(crate) fn is_queued(&self) -> bool {
        // The broker's numbers of then are of no use to who was away.
        let is_kept = self.options.qos > QoS::AtMostOnce && !is_system(&self.filter);
        self.group.is_some() || is_kept
    }
}

/// What a message came by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    /// The highest that was granted among those that match; none where none does.
    pub(crate) qos: Option<QoS>,
    /// All of their identifiers.
    pub(crate) ids: SmallVec<[u32; 1]>,
    /// The retain flag is kept.
    pub(crate) retain_as_published: bool,
    /// Only subscriptions match that do not want what their client publishes itself.
    pub(crate) own_only: bool,
    /// One of those that match, whether it wants the message or not, has it come by the session's queue, or by the shared one
    /// that this is about.
    pub(crate) queued: bool,
}

impl Matched {
    /// By one subscription.
    pub(crate) fn by(subscription: &Subscription) -> Self {
        let mut matched = Self::default();
        matched.add(subscription);
        // A queue knows nothing of topics that no wildcard at the beginning matches; see `Subscriptions::matched`.
        matched.queued = !subscription.filter.starts_with(['+', '#']);
        matched
    }

    fn add(&mut self, subscription: &Subscription) {
        let options = subscription.options;
        self.qos = self.qos.max(Some(options.qos));
        self.ids.extend(subscription.id);
        self.retain_as_published |= options.retain_as_published;
    }
}

/// The subscriptions of a session: one for each filter, and one for each filter of each group.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscription>,
    /// Places in the list by filter, of those that are not shared; made when it is asked for, and there are more than a few.
    trie: Option<Box<Trie<u32>>>,
    /// Places in the list by consumer, of the shared ones that have one.
    by_token: HashMap<u64, u32>,
    /// Places in the list by group and filter, where there are more than a few.
    places: Option<Box<Places>>,
    /// Rises with every change.
    version: u64,
}

/// Places in a list of subscriptions, found by what stands there.
#[derive(Debug, Default)]
struct Places {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Places {
    fn of(list: &[Subscription]) -> Self {
        let mut places = Self::default();
        for place in 0..list.len() {
            places.insert(list, place);
        }
        places
    }

    fn hash(&self, group: Option<&str>, filter: &str) -> u64 {
        self.hasher.hash_one((group, filter))
    }

    fn insert(&mut self, list: &[Subscription], place: usize) {
        let Self { table, hasher } = self;
        let hash = |place: &u32| hasher.hash_one(list[*place as usize].key());
        let place = place as u32;
        table.insert_unique(hash(&place), place, hash);
    }

    fn find(&self, list: &[Subscription], key: (Option<&str>, &str)) -> Option<usize> {
        let found = self.table.find(self.hash(key.0, key.1), |place| list[*place as usize].key() == key);
        found.map(|place| *place as usize)
    }

    /// What stands at the place goes.
    fn remove(&mut self, list: &[Subscription], place: usize) {
        let (group, filter) = list[place].key();
        if let Ok(entry) = self.table.find_entry(self.hash(group, filter), |other| *other as usize == place) {
            entry.remove();
        }
    }

    /// What stands at `from` comes to `to`, where nothing is any more.
    fn move_to(&mut self, list: &[Subscription], from: usize, to: usize) {
        let (group, filter) = list[from].key();
        if let Some(place) = self.table.find_mut(self.hash(group, filter), |other| *other as usize == from) {
            *place = to as u32;
        }
    }
}

impl Subscriptions {
    /// Rises with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Subscription> {
        self.list.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The subscription to this filter.
    pub(crate) fn get(&self, group: Option<&str>, filter: &str) -> Option<&Subscription> {
        self.place(group, filter).map(|place| &self.list[place])
    }

    /// The shared one that has this consumer.
    pub(crate) fn shared(&self, token: u64) -> Option<&Subscription> {
        self.list.get(*self.by_token.get(&token)? as usize)
    }

    /// Puts one in; the one before it to the same filter, whose place it takes.
    pub(crate) fn insert(&mut self, subscription: Subscription) -> Option<Subscription> {
        self.version += 1;
        if let Some(place) = self.place(subscription.group.as_deref(), &subscription.filter) {
            let token = subscription.token;
            let replaced = std::mem::replace(&mut self.list[place], subscription);
            self.forget_token(&replaced, place);
            self.note_token(token, place);
            return Some(replaced);
        }
        self.note_token(subscription.token, self.list.len());
        if let (Some(trie), None) = (&mut self.trie, &subscription.group) {
            let place = self.list.len() as u32;
            *trie.get_or_insert_with(subscription.filter.as_bytes(), || place) = place;
        }
        self.list.push(subscription);
        match &mut self.places {
            Some(places) => places.insert(&self.list, self.list.len() - 1),
            None if self.list.len() > FILTERS_FEW => self.places = Some(Box::new(Places::of(&self.list))),
            None => {}
        }
        None
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, group: Option<&str>, filter: &str) -> Option<Subscription> {
        let place = self.place(group, filter)?;
        self.version += 1;
        if let Some(places) = &mut self.places {
            let last = self.list.len() - 1;
            places.remove(&self.list, place);
            if last != place {
                places.move_to(&self.list, last, place);
            }
        }
        let removed = self.list.swap_remove(place);
        self.forget_token(&removed, place);
        let moved = self.list.get(place).map_or(0, |moved| moved.token);
        self.note_token(moved, place);
        if let Some(trie) = &mut self.trie {
            if removed.group.is_none() {
                trie.remove(removed.filter.as_bytes());
            }
            // The last one has come to its place.
            if let Some(moved) = self.list.get(place).filter(|moved| moved.group.is_none())
                && let Some(moved_to) = trie.get_mut(moved.filter.as_bytes())
            {
                *moved_to = place as u32;
            }
        }
        Some(removed)
    }

    /// Forgets the consumers, which go with a connection, and gives back what can be made again.
    pub(crate) fn forget(&mut self) {
        self.trie = None;
        self.by_token = HashMap::new();
        for subscription in &mut self.list {
            subscription.token = 0;
        }
    }

    /// A consumer belongs to the subscription at this place.
    fn note_token(&mut self, token: u64, place: usize) {
        // Plain subscriptions have none.
        if token >= TOKEN_SHARED_FIRST {
            self.by_token.insert(token, place as u32);
        }
    }

    /// A subscription is not at this place any more, nor its consumer.
    fn forget_token(&mut self, gone: &Subscription, place: usize) {
        if self.by_token.get(&gone.token) == Some(&(place as u32)) {
            self.by_token.remove(&gone.token);
        }
    }

    fn place(&self, group: Option<&str>, filter: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.find(&self.list, (group, filter)),
            None => self.list.iter().position(|other| other.key() == (group, filter)),
        }
    }

    /// What a message on this topic came by, the shared ones left out. `own`: the session's client has published it.
    pub(crate) fn matched(&mut self, topic: &str, own: bool) -> Matched {
        let mut matched = Matched::default();
        let mut left_out = false;
        let mut queued = false;
        let mut add = |subscription: &Subscription| {
            queued |= subscription.is_queued();
            if own && subscription.options.no_local {
                left_out = true;
            } else {
                matched.add(subscription);
            }
        };
        if self.list.len() <= FILTERS_FEW {
            let plain = self.list.iter().filter(|subscription| subscription.group.is_none());
            plain.filter(|subscription| topics::matches(&subscription.filter, topic)).for_each(add);
        } else {
            let trie = self.trie.get_or_insert_with(|| Box::new(trie_of(&self.list)));
            let is_special = topic.starts_with('$');
            trie.matches(topic.as_bytes(), |place| {
                let Some(subscription) = self.list.get(*place as usize) else { return };
                // 4.7.2-1
                if !(is_special && subscription.filter.starts_with(['+', '#'])) {
                    add(subscription);
                }
            });
            // The trie visits in no order, and clients like to compare.
            matched.ids.sort_unstable();
        }
        matched.own_only = matched.qos.is_none() && left_out;
        matched.queued = queued;
        matched
    }
}

fn trie_of(list: &[Subscription]) -> Trie<u32> {
    let mut trie = Trie::new(Syntax::SLASHES);
    for (place, subscription) in list.iter().enumerate() {
        if subscription.group.is_none() {
            trie.get_or_insert_with(subscription.filter.as_bytes(), || place as u32);
        }
    }
    trie
}

/// Whether retained messages are sent to a subscription.
pub(crate) fn wants_retained(options: SubscribeOptions, is_new: bool) -> bool {
    match options.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str, qos: QoS, id: u32) -> Subscription {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        Subscription { group: None, filter: filter.into(), options, id: Some(id), token: 0 }
    }

    // [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4]
    #[test]
    fn overlapping_subscriptions_give_the_highest_qos_and_all_identifiers_however_many_there_are() {
        let mut subscriptions = Subscriptions::default();
        for round in 0..2 {
            subscriptions.insert(subscription("a/#", QoS::AtMostOnce, 1));
            subscriptions.insert(subscription("a/+", QoS::ExactlyOnce, 2));
            subscriptions.insert(subscription("#", QoS::AtLeastOnce, 3));
            subscriptions.insert(subscription("b", QoS::AtLeastOnce, 4));
            subscriptions.insert(Subscription { group: Some("g".into()), ..subscription("a/b", QoS::ExactlyOnce, 5) });
            let matched = subscriptions.matched("a/b", false);
            assert_eq!(matched.qos, Some(QoS::ExactlyOnce), "{round}");
            assert_eq!(&matched.ids[..], [1, 2, 3], "{round}");
            assert_eq!(subscriptions.matched("$a/b", false), Matched::default());
            for more in 0..20 {
                subscriptions.insert(subscription(&format!("more/{more}"), QoS::AtMostOnce, 100 + more));
            }
        }
        assert_eq!(subscriptions.len(), 25);
        assert_eq!(subscriptions.remove(None, "a/+").map(|gone| gone.id), Some(Some(2)));
        assert_eq!(&subscriptions.matched("a/b", false).ids[..], [1, 3]);
        assert!(subscriptions.get(Some("g"), "a/b").is_some() && subscriptions.get(None, "a/b").is_none());
    }

    // [MQTT-3.8.3-3]
    #[test]
    fn what_the_client_published_comes_by_those_that_want_it() {
        let mut subscriptions = Subscriptions::default();
        let mut local = subscription("a", QoS::AtLeastOnce, 1);
        local.options.no_local = true;
        subscriptions.insert(local);
        assert!(subscriptions.matched("a", true).own_only);
        assert!(!subscriptions.matched("a", false).own_only);
        subscriptions.insert(subscription("+", QoS::AtMostOnce, 2));
        let matched = subscriptions.matched("a", true);
        assert_eq!((matched.qos, &matched.ids[..], matched.own_only), (Some(QoS::AtMostOnce), &[2][..], false));
    }

    #[test]
    fn many_answer_as_few_do_whatever_comes_and_goes() {
        let words = ["a", "b", "+", "#", "$x", ""];
        let mut filters = Vec::new();
        for one in words {
            filters.push(one.to_owned());
            filters.extend(words.iter().filter(|_| one != "#").map(|two| format!("{one}/{two}")));
        }
        filters.retain(|filter| !filter.is_empty());
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        let mut random = |n: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % n as u64) as usize
        };
        let mut subscriptions = Subscriptions::default();
        let mut plain: Vec<Subscription> = Vec::new();
        for step in 0..3000 {
            let filter = &filters[random(filters.len())];
            let group = (random(5) == 0).then(|| Box::from("g"));
            let is_same = |one: &Subscription| *one.filter == **filter && one.group == group;
            let before = plain.iter().position(is_same).map(|place| plain.remove(place));
            if random(3) > 0 {
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce][random(2)];
                let token = if group.is_some() { TOKEN_SHARED_FIRST + u64::from(step) } else { 0 };
                let new = Subscription { group, token, ..subscription(filter, qos, step % 7 + 1) };
                assert_eq!(subscriptions.insert(new.clone()), before);
                plain.push(new);
            } else {
                assert_eq!(subscriptions.remove(group.as_deref(), filter), before);
            }
            assert_eq!(subscriptions.len(), plain.len());
            let consumed = || plain.iter().filter(|one| one.group.is_some());
            assert!(consumed().all(|one| subscriptions.shared(one.token) == Some(one)));
            assert_eq!(subscriptions.by_token.len(), consumed().count());
            let topic = ["a", "b", "a/b", "$x", "$x/a", "/", "a/", "c"][random(8)];
            let matching = || plain.iter().filter(|one| one.group.is_none() && topics::matches(&one.filter, topic));
            let mut ids: Vec<u32> = matching().filter_map(|one| one.id).collect();
            ids.sort_unstable();
            let mut matched = subscriptions.matched(topic, false);
            matched.ids.sort_unstable();
            assert_eq!(matched.ids.as_slice(), ids, "{topic}");
            assert_eq!(matched.qos, matching().map(|one| one.options.qos).max());
        }
    }

    #[test]
    fn subscriptions_are_found_whatever_is_put_in_and_taken_out() {
        let mut subscriptions = Subscriptions::default();
        let mut model = std::collections::HashMap::new();
        let mut random = 7_u64;
        for round in 0..4_000_u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (filter, group) =
                (format!("f/{}", (random >> 33) % 40), (random >> 40).is_multiple_of(3).then_some("g"));
            if (random >> 50).is_multiple_of(2) {
                let one =
                    Subscription { group: group.map(Box::from), ..subscription(&filter, QoS::AtLeastOnce, round) };
                let before = subscriptions.insert(one).and_then(|one| one.id);
                assert_eq!(before, model.insert((group, filter), round));
            } else {
                let gone = subscriptions.remove(group, &filter).and_then(|one| one.id);
                assert_eq!(gone, model.remove(&(group, filter)));
            }
            assert_eq!(subscriptions.len(), model.len());
        }
        for ((group, filter), id) in &model {
            assert_eq!(subscriptions.get(*group, filter).and_then(|one| one.id), Some(*id));
        }
        assert!(model.len() > FILTERS_FEW);
    }
}
