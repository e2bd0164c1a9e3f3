//! Figures, their medians and ratios, and the table that is printed.

use std::ops::Range;

use serde_json::{Value, json};

/// Which direction is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Told for the record, not compared.
    Neither,
}

/// What the first broker should reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At least this many times as good as the peer.
    Ratio(f64),
    /// No more than this, whatever the peer has.
    AtMost(f64),
    /// No less than this, whatever the peer has.
    AtLeast(f64),
    /// Less than another figure of the peer.
    BelowPeer(&'static str),
}

/// One measured value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    name: &'static str,
    unit: &'static str,
    value: f64,
    better: Better,
    target: Option<Target>,
}

impl Figure {
    pub(crate) fn new(name: &'static str, unit: &'static str, value: f64, better: Better) -> Self {
        Self { name, unit, value, better, target: None }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }
}

struct Sample {
    workload: &'static str,
    broker: &'static str,
    figure: Figure,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Results {
    samples: Vec<Sample>,
}

/// The middle value; of two, the mean. 0 where there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

impl Results {
    /// Adds what one run gave.
    pub(crate) fn add(&mut self, workload: &'static str, broker: &'static str, figures: Vec<Figure>) {
        self.samples.extend(figures.into_iter().map(|figure| Sample { workload, broker, figure }));
    }

    /// Medians of a figure, of every broker but one.
    pub(crate) fn values(&self, workload: &str, name: &str, except: &str) -> Vec<f64> {
        let mut brokers: Vec<&str> = self.samples.iter().map(|sample| sample.broker).collect();
        brokers.dedup();
        brokers.sort_unstable();
        brokers.dedup();
        brokers
            .into_iter()
            .filter(|broker| *broker != except)
            .filter_map(|broker| self.median(workload, name, broker))
            .collect()
    }

    fn all(&self, workload: &str, name: &str, broker: &str) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|sample| sample.workload == workload && sample.figure.name == name && sample.broker == broker)
            .map(|sample| sample.figure.value)
            .collect()
    }

    fn median(&self, workload: &str, name: &str, broker: &str) -> Option<f64> {
        let values = self.all(workload, name, broker);
        (!values.is_empty()).then(|| median(&values))
    }

    /// Whether a broker was measured with this workload.
    fn was_measured(&self, workload: &str, broker: &str) -> bool {
        self.samples.iter().any(|sample| sample.workload == workload && sample.broker == broker)
    }

    /// Rows in the order in which they first came.
    fn rows(&self) -> Vec<(&'static str, Figure)> {
        let mut rows: Vec<(&'static str, Figure)> = Vec::new();
        for Sample { workload, figure, .. } in &self.samples {
            if !rows.iter().any(|(of, row)| of == workload && row.name == figure.name) {
                let end_of_workload =
                    rows.iter().rposition(|(of, _)| of == workload).map_or(rows.len(), |last| last + 1);
                rows.insert(end_of_workload, (*workload, *figure));
            }
        }
        rows
    }

    /// A table in Markdown: a row a figure, a column a broker. The first broker is compared with each of the others, and
    /// with the targets if these are for it (`judged`).
    pub(crate) fn markdown(&self, brokers: &[&'static str], judged: bool) -> String {
        let Some((ours, peers)) = brokers.split_first() else { return String::new() };
        let mut lines = vec![vec![String::from("work"), String::from("figure"), String::from("unit")]];
        lines[0].extend(brokers.iter().map(|broker| broker.to_string()));
        lines[0].extend(peers.iter().map(|peer| format!("{ours} : {peer}")));
        if judged {
            lines[0].push("target".into());
        }
        let mut last = "";
        for (workload, figure) in self.rows() {
            let value = |broker: &str| self.median(workload, figure.name, broker);
            let work = if workload == last { "" } else { workload };
            last = workload;
            let mut line = vec![work.to_owned(), figure.name.to_owned(), figure.unit.to_owned()];
            line.extend(brokers.iter().map(|broker| value(broker).map_or("-".into(), number)));
            line.extend(peers.iter().map(|peer| {
                let ratio = value(ours).zip(value(peer)).and_then(|(ours, peer)| ratio(figure.better, ours, peer));
                ratio.map_or("-".into(), |ratio| format!("{} x", number(ratio)))
            }));
            if judged {
                // A peer that does not speak the workload's protocol is none to be compared with.
                let peer = peers.iter().copied().find(|peer| self.was_measured(workload, peer));
                line.push(self.verdict(workload, &figure, ours, peer));
            }
            lines.push(line);
        }
        lay_out(&lines, 3..3 + brokers.len() + peers.len())
    }

    /// The target, and whether it is met.
    fn verdict(&self, workload: &str, figure: &Figure, ours: &str, peer: Option<&str>) -> String {
        let Some(target) = figure.target else { return String::new() };
        let peer_value = |name| peer.and_then(|peer| self.median(workload, name, peer));
        let value = self.median(workload, figure.name, ours);
        let (text, met) = match target {
            Target::Ratio(wanted) => {
                let ratio = value.zip(peer_value(figure.name)).and_then(|(a, b)| ratio(figure.better, a, b));
                (format!("at least {} x", number(wanted)), ratio.map(|ratio| ratio >= wanted))
            }
            Target::AtMost(most) => (format!("at most {}", number(most)), value.map(|value| value <= most)),
            Target::AtLeast(least) => (format!("at least {}", number(least)), value.map(|value| value >= least)),
            Target::BelowPeer(name) => {
                let limit = peer_value(name);
                (format!("below the peer's {name}"), value.zip(limit).map(|(value, limit)| value < limit))
            }
        };
        match met {
            None => text,
            Some(true) => format!("{text}: met"),
            Some(false) => format!("{text}: **missed**"),
        }
    }

    /// Everything, the single values included.
    pub(crate) fn json(&self, brokers: &[&'static str]) -> Value {
        let figures = self.rows().into_iter().map(|(workload, figure)| {
            let values = brokers.iter().filter_map(|broker| {
                let all = self.all(workload, figure.name, broker);
                (!all.is_empty()).then(|| (broker.to_string(), json!({ "median": median(&all), "values": all })))
            });
            let values: serde_json::Map<String, Value> = values.collect();
            json!({ "work": workload, "figure": figure.name, "unit": figure.unit, "brokers": values })
        });
        Value::Array(figures.collect())
    }
}

/// How many times as good ours is.
fn ratio(better: Better, ours: f64, peer: f64) -> Option<f64> {
    let ratio = match better {
        Better::Higher => ours / peer,
        Better::Lower => peer / ours,
        Better::Neither => return None,
    };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// Three or more digits that count, thousands set apart.
fn number(value: f64) -> String {
    let size = value.abs();
    if size < 9.995 {
        return format!("{value:.2}");
    }
    if size < 99.95 {
        return format!("{value:.1}");
    }
    let digits = format!("{size:.0}");
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Pads the cells; the columns in `numbers` to the right, the others to the left.
fn lay_out(lines: &[Vec<String>], numbers: Range<usize>) -> String {
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let fill = " ".repeat(widths[column] - cell.chars().count());
            let cell = if numbers.contains(&column) { format!("| {fill}{cell} ") } else { format!("| {cell}{fill} ") };
            text.push_str(&cell);
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let rule = "-".repeat(width + 1);
                text.push_str(&if numbers.contains(&column) { format!("|{rule}:") } else { format!("|{rule}-") });
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compares_medians() {
        let mut results = Results::default();
        let speed = |value| Figure::new("speed", "1/s", value, Better::Higher).target(Target::Ratio(10.0));
        let time = |value| Figure::new("time", "ms", value, Better::Lower).target(Target::AtMost(100.0));
        for value in [10.0, 3000.0, 20.0] {
            results.add("work", "peer", vec![speed(value), time(1000.0)]);
            results.add("work", "ours", vec![speed(value * 12.0), time(100.5)]);
        }
        let expected = "\
| work | figure | unit | ours | peer | ours : peer | target                |
|------|--------|------|-----:|-----:|------------:|-----------------------|
| work | speed  | 1/s  |  240 | 20.0 |      12.0 x | at least 10.0 x: met  |
|      | time   | ms   |  100 | 1,000 |      9.95 x | at most 100: **missed** |
";
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace(['-', ' '], "");
        assert_eq!(squeeze(&results.markdown(&["ours", "peer"], true)), squeeze(expected));
        assert_eq!(results.values("work", "speed", "ours"), [20.0]);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let written: Vec<String> = [0.123, 9.999, 99.96, 1234567.0, -4321.0].into_iter().map(number).collect();
        assert_eq!(written, ["0.12", "10.0", "100", "1,234,567", "-4,321"]);
    }
}
