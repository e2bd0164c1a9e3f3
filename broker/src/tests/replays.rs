//! Replays: what a topic's archive has kept goes to a queue once more, and nothing is missing or twice where it meets what comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ordered_topics::{LONG_MS, ordered};
use super::streams::Streams;
use super::*;
use crate::message::Edit;
use crate::{Bound, Filter, Outcome, QueueOptions, Reached, Replay, Replayed, Scope};

const HOW: Replayed = Replayed { published_ms, again };

/// Messages say when they were published: it is what their ids are.
fn published_ms(message: &crate::Message) -> Option<u64> {
    str::from_utf8(message.body()).ok()?.split(' ').next()?.parse().ok()
}

fn again(message: &Arc<crate::Message>) -> Arc<crate::Message> {
    let set = [("-replayed", Value::Bool(true))];
    message.edited(Arc::clone(message.address()), &Edit { set: &set, ..Edit::default() })
}

impl Streams {
    /// A topic with order, an archive that is bound to it, and a queue.
    async fn archived(&self, queue: QueueOptions) {
        self.rig.topic("t", ordered(LONG_MS)).await;
        self.stream(&[]).await;
        self.rig.queue("q", queue).await;
        self.rig.bind_to("t", "s").await;
    }

    fn publish_once(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.rig.once("t", &number.to_string(), number).unwrap();
        }
    }

    async fn replay(&self, from_ms: u64, until_ms: Option<u64>) -> Replay {
        let (marks, made) = self.rig.vhost.marks("replay").unwrap();
        made.wait().await.unwrap();
        let archive = self.rig.vhost.queue("s", CLIENT).unwrap();
        let queue = self.rig.vhost.queue("q", CLIENT).unwrap();
        let seam = archive.next_number();
        Replay { archive, queue, marks, filter: None, from_ms, until_ms, seam }
    }

    /// Replays until nothing is left, and binds the queue then.
    async fn run(&self, replay: &Replay) -> Result<(), Error> {
        let (vhost, exchange) = (&self.rig.vhost, self.rig.vhost.exchange("t").unwrap());
        replay
            .run(&self.rig.broker, vhost, HOW, |reached, next| {
                reached == Reached::End
                    && vhost.between_messages(&exchange, || {
                        let is_over = !replay.is_behind(next);
                        if is_over {
                            let new = Bound { queue: "q", arguments: &Table::default() };
                            let _ = vhost.rebind("t", None, Some(new)).unwrap();
                        }
                        is_over
                    })
            })
            .await
    }

    /// Ids of what is in the queue, and whether it was replayed; it is gone afterwards.
    async fn taken(&self) -> Vec<(u64, bool)> {
        let queue = self.rig.vhost.queue("q", CLIENT).unwrap();
        let mut items = Vec::new();
        while let Some((delivery, _)) = queue.fetch(0, true) {
            items.push(Item::Delivery(delivery));
        }
        self.rig.broker.load(&mut items).await;
        let mut taken = Vec::new();
        for item in &items {
            let Item::Delivery(Delivery { content: Content::Loaded(message), .. }) = item else { panic!("{item:?}") };
            taken.push((published_ms(message).unwrap(), message.head().ends_with(b"-replayed")));
        }
        settle(items, Outcome::Accept);
        taken
    }
}

fn all(numbers: std::ops::Range<u64>, replayed: bool) -> impl Iterator<Item = (u64, bool)> {
    numbers.map(move |number| (number, replayed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_meets_what_is_published_meanwhile_and_nothing_is_missing_or_twice() {
    const BEFORE: u64 = 300;
    const MEANWHILE: u64 = 3000;
    let streams = Streams::new(PLENTY);
    streams.archived(durable()).await;
    streams.publish_once(0..BEFORE);
    let replay = streams.replay(100, None).await;
    let published = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for number in BEFORE..BEFORE + MEANWHILE {
                streams.publish_once(number..number + 1);
                published.fetch_add(1, Ordering::Relaxed);
            }
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(streams.run(&replay)).unwrap();
        });
        publisher.join().unwrap();
    });
    streams.publish_once(BEFORE + MEANWHILE..BEFORE + MEANWHILE + 10);
    let expected: Vec<_> = all(100..BEFORE, true).chain(all(BEFORE..BEFORE + MEANWHILE + 10, false)).collect();
    assert_eq!(streams.taken().await, expected);
    assert!(replay.marks.len() <= 1);
}

#[tokio::test]
async fn a_replay_has_a_beginning_an_end_and_a_filter() {
    let streams = Streams::new(PLENTY);
    streams.archived(durable()).await;
    streams.publish_once(0..50);
    let mut replay = streams.replay(10, Some(19)).await;
    // What comes from the seam on is no replay, whatever the end.
    streams.publish_once(50..55);
    streams.run(&replay).await.unwrap();
    assert_eq!(streams.taken().await, all(10..20, true).chain(all(50..55, false)).collect::<Vec<_>>());
    // Once more, with a filter that nothing meets, and with one that everything does.
    let unbind = Bound { queue: "q", arguments: &Table::default() };
    for (policy, expected) in [(r#"{"content-type": ["other"]}"#, 0), (r#"{"content-type": ["text"]}"#, 55)] {
        streams.rig.vhost.rebind("t", Some(unbind), None).unwrap().wait().await.unwrap();
        streams.rig.vhost.delete_marks("replay").wait().await.unwrap();
        replay = streams.replay(0, None).await;
        replay.filter = Some(Arc::new(Filter::parse(policy, Scope::MessageAttributes).unwrap()));
        streams.run(&replay).await.unwrap();
        assert_eq!(streams.taken().await.len(), expected);
    }
}

#[tokio::test]
async fn a_replay_goes_on_where_it_was_after_a_crash() {
    for orderly in [false, true] {
        let mut streams = Streams::new(PLENTY);
        let mut options = durable();
        options.arguments = with(&[("x-max-length", 30)]);
        options.arguments.push("x-overflow", "reject-publish");
        streams.archived(options).await;
        streams.publish_once(0..100);
        let seam = streams.replay(0, None).await.seam;
        let mut got = Vec::new();
        while got.len() < 100 {
            let replay = Replay { seam, ..streams.replay(0, None).await };
            // It stops for want of room, and is never told to go on.
            let until_full = async {
                let queue = Arc::clone(&replay.queue);
                let whole = 100 - got.len();
                eventually("the queue is full", || queue.status().ready == whole.min(30)).await;
            };
            tokio::select! {
                () = until_full => {}
                ended = streams.run(&replay) => ended.unwrap(),
            }
            drop(replay);
            streams = if orderly { streams.restart() } else { streams.crash() };
            got.extend(streams.taken().await);
        }
        assert_eq!(got, all(0..100, true).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_replay_ends_with_its_queue_and_with_its_archive() {
    for name in ["q", "s"] {
        let streams = Streams::new(PLENTY);
        streams.archived(durable()).await;
        let replay = streams.replay(0, None).await;
        let vhost = Arc::clone(&streams.rig.vhost);
        let ends = async {
            tokio::task::yield_now().await;
            vhost.delete_queue(name, crate::DeleteQueue::default(), CLIENT).await.unwrap();
            if name == "q" {
                streams.publish_once(0..1);
            }
            std::future::pending::<()>().await;
        };
        let never_over = |_, _| false;
        tokio::select! {
            ended = replay.run(&streams.rig.broker, &vhost, HOW, never_over) => {
                assert!(matches!(ended, Err(Error::NotFound(_))), "{ended:?}");
            }
            () = ends => {}
        }
    }
}
