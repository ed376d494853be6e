//! Medians with their spread, and the rows of the table.

use std::fmt;

/// Several measurements of one quantity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => self.0[n / 2],
            n => (self.0[n / 2 - 1] + self.0[n / 2]) / 2.0,
        }
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut sample = Self::default();
        values.into_iter().for_each(|value| sample.add(value));
        sample
    }
}

/// The median, with the whole range if there are several: `1.4 (1.3–1.7)`.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", short(self.median()))?;
        match (self.0.first(), self.0.last()) {
            (Some(least), Some(most)) if self.0.len() > 1 => {
                write!(f, " ({}–{})", short(*least), short(*most))
            }
            _ => Ok(()),
        }
    }
}

/// Three significant digits, or all digits of the integer part.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The goal's number.
    pub(crate) goal: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// The figures themselves.
    pub(crate) figures: String,
    /// The figure to compare with the goal; a ratio if there is one.
    pub(crate) result: Sample,
    /// Its unit, such as `× floor`.
    pub(crate) unit: &'static str,
    /// The goal: the figure must not exceed this.
    pub(crate) at_most: Option<f64>,
}

impl Row {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.at_most {
            None => "",
            Some(most) if self.result.median() <= most => "met",
            Some(_) => "short",
        }
    }

    pub(crate) fn goal_text(&self) -> String {
        self.at_most.map(|most| format!("≤ {most}")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_verdicts() {
        let sample: Sample = [3.0, 1.0, 2.0, 10.0].into_iter().collect();
        assert_eq!(sample.median(), 2.5);
        assert_eq!(sample.to_string(), "2.50 (1.00–10.0)");
        let row = |most| Row {
            goal: "S1",
            what: String::new(),
            figures: String::new(),
            result: sample.clone(),
            unit: "",
            at_most: most,
        };
        assert_eq!(
            [row(Some(2.5)), row(Some(2.4)), row(None)].map(|row| row.verdict()),
            ["met", "short", ""]
        );
    }
}
