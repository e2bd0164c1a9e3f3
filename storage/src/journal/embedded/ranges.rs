//! Settled slots as ranges: gathered in any order, sorted and joined once a batch, and coded as differences.

use super::varint;

/// A run of slots of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    /// Number of the segment.
    pub(super) segment: u32,
    /// First slot.
    pub(super) slot: u32,
    /// Number of slots, at least 1.
    pub(super) count: u32,
}

/// Adds a slot; what continues the last range costs nothing.
pub(super) fn add(ranges: &mut Vec<Range>, segment: u32, slot: u32) {
    if let Some(last) = ranges.last_mut()
        && last.segment == segment
        && last.slot + last.count == slot
    {
        last.count += 1;
        return;
    }
    ranges.push(Range { segment, slot, count: 1 });
}

/// Sorts, and joins what touches. No slot is in two ranges, since none is settled twice.
pub(super) fn join(ranges: &mut Vec<Range>) {
    if ranges.len() < 2 {
        return;
    }
    ranges.sort_unstable();
    let mut kept = 0;
    for index in 1..ranges.len() {
        let next = ranges[index];
        let last = &mut ranges[kept];
        if last.segment == next.segment && last.slot + last.count == next.slot {
            last.count += next.count;
        } else {
            kept += 1;
            ranges[kept] = next;
        }
    }
    ranges.truncate(kept + 1);
}

/// Codes sorted ranges: for each segment its number (difference), how many ranges, and each as gap and count less one.
/// Stops when `bytes_max` is reached and says how many were coded (at least one, if there are any).
pub(super) fn put(out: &mut Vec<u8>, ranges: &[Range], bytes_max: usize) -> usize {
    let begin = out.len();
    let mut segment = 0;
    let mut done = 0;
    while done < ranges.len() && (done == 0 || out.len() - begin < bytes_max) {
        let number = ranges[done].segment;
        let run = ranges[done..].iter().take_while(|range| range.segment == number).count();
        // A range takes at most ten bytes.
        let room = (bytes_max.saturating_sub(out.len() - begin) / 10).max(1);
        let run = run.min(room);
        varint::put(out, u64::from(number - segment));
        varint::put(out, run as u64);
        let mut end = 0;
        for range in &ranges[done..done + run] {
            varint::put(out, u64::from(range.slot - end));
            varint::put(out, u64::from(range.count - 1));
            end = range.slot + range.count;
        }
        segment = number;
        done += run;
    }
    done
}

/// Reads coded ranges. `None` when they are malformed.
pub(super) fn take(mut from: &[u8], visit: &mut dyn FnMut(Range)) -> Option<()> {
    let mut segment = 0u32;
    while !from.is_empty() {
        segment = segment.checked_add(varint::take_u32(&mut from)?)?;
        let run = varint::take(&mut from)?;
        let mut end = 0u32;
        for _ in 0..run {
            let slot = end.checked_add(varint::take_u32(&mut from)?)?;
            let count = varint::take_u32(&mut from)?.checked_add(1)?;
            end = slot.checked_add(count)?;
            visit(Range { segment, slot, count });
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_slots_become_few_ranges() {
        let mut ranges = Vec::new();
        for lane in 0..8 {
            for n in 0..100 {
                add(&mut ranges, 7, n * 8 + lane);
            }
        }
        add(&mut ranges, 3, 9);
        join(&mut ranges);
        assert_eq!(ranges, [Range { segment: 3, slot: 9, count: 1 }, Range { segment: 7, slot: 0, count: 800 }]);
    }

    #[test]
    fn coded_ranges_come_back_in_pieces() {
        let ranges: Vec<Range> =
            (0..1000).map(|n| Range { segment: n / 100 + 5, slot: (n % 100) * 70_000, count: n % 7 + 1 }).collect();
        let mut left = ranges.as_slice();
        let mut back = Vec::new();
        while !left.is_empty() {
            let mut out = Vec::new();
            let done = put(&mut out, left, 500);
            assert!(out.len() < 600, "{} bytes", out.len());
            take(&out, &mut |range| back.push(range)).unwrap();
            left = &left[done..];
        }
        assert_eq!(back, ranges);
    }
}
