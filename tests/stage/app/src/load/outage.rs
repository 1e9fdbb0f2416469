//! How long users were without service: pure arithmetic over the records.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Kind, Record};

/// A time in which a kind of request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the first request that failed was sent.
    pub from: Timestamp,
    /// When the first success that lasts was answered; none while there was no such success yet.
    pub until: Option<Timestamp>,
    /// How many requests failed in it.
    pub failed: usize,
}

impl Outage {
    /// None while it is not over.
    pub fn length(&self) -> Option<SignedDuration> {
        Some(self.until?.duration_since(self.from))
    }
}

/// The outages of one kind of request, in their order. A success ends an outage only if it lasts: nothing sent within `lasting` after it fails, and the records reach that far. A
/// single lucky answer in the middle is not the end.
pub fn outages(records: &[Record], kind: Kind, lasting: Duration) -> Vec<Outage> {
    let mut records: Vec<_> = records.iter().filter(|record| record.kind == kind).collect();
    records.sort_by_key(|record| record.sent_at);
    let mut outages = Vec::new();
    let mut open: Option<Outage> = None;
    for (index, record) in records.iter().enumerate() {
        match &mut open {
            None if record.ok => (),
            None => open = Some(Outage { from: record.sent_at, until: None, failed: 1 }),
            Some(outage) if !record.ok => outage.failed += 1,
            Some(outage) if lasts(&records[index..], lasting) => {
                outage.until = Some(answered_at(record));
                outages.extend(open.take());
            }
            Some(_) => (),
        }
    }
    outages.extend(open);
    outages
}

/// Whether the first of these records begins a time without failures that is long enough, and was seen to its end.
fn lasts(records: &[&Record], lasting: Duration) -> bool {
    let Some((first, rest)) = records.split_first() else {
        return false;
    };
    let end = saturating_add(first.sent_at, lasting);
    rest.iter().take_while(|record| record.sent_at < end).all(|record| record.ok) && records.last().is_some_and(|last| last.sent_at >= end)
}

fn answered_at(record: &Record) -> Timestamp {
    saturating_add(record.sent_at, record.latency)
}

fn saturating_add(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LASTING: Duration = Duration::from_millis(300);

    fn at(tenths: i64) -> Timestamp {
        Timestamp::from_millisecond(tenths * 100).unwrap()
    }

    /// A request every tenth of a second, `+` served and `-` failed, each answered after 20 ms.
    fn records(kind: Kind, seen: &str) -> Vec<Record> {
        let record = |(index, mark)| Record {
            sent_at: at(index),
            kind,
            ok: mark == '+',
            region: None,
            latency: Duration::from_millis(20),
            order: None,
            reason: None,
        };
        (0..).zip(seen.chars()).map(record).collect()
    }

    #[rstest]
    #[case::nothing_sent("", &[])]
    #[case::nothing_failed("+++++", &[])]
    #[case::one_outage("++---++++", &[(2, Some(5), 3)])]
    #[case::lucky_answer_in_the_middle_is_not_the_end("++--+--++++", &[(2, Some(7), 4)])]
    #[case::two_outages("+-++++--++++", &[(1, Some(2), 1), (6, Some(8), 2)])]
    #[case::failed_from_the_start("--++++", &[(0, Some(2), 2)])]
    #[case::not_over("++---", &[(2, None, 3)])]
    #[case::not_seen_long_enough("++---+++", &[(2, None, 3)])]
    fn of_a_row_of_requests(#[case] seen: &str, #[case] expected: &[(i64, Option<i64>, usize)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(from, until, failed)| Outage { from: at(from), until: until.map(|tenths| at(tenths) + Duration::from_millis(20)), failed })
            .collect();
        assert_eq!(outages(&records(Kind::Read, seen), Kind::Read, LASTING), expected);
    }

    #[test]
    fn reads_and_writes_are_counted_apart_and_in_any_order() {
        let mut both = records(Kind::Write, "+--++++");
        both.extend(records(Kind::Read, "+++++++"));
        both.reverse();
        assert_eq!(outages(&both, Kind::Read, LASTING), []);
        let [outage] = outages(&both, Kind::Write, LASTING).try_into().unwrap();
        assert_eq!((outage.failed, outage.length()), (2, Some(SignedDuration::from_millis(220))));
    }
}
