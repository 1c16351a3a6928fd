//! Results as a table for people.

use std::fmt::{Display, Formatter, Result};

use regen_metrics::Interval;

use super::summary::Results;
use crate::study::Design;

fn range(interval: &Interval) -> String {
    format!("{:.2} to {:.2}", interval.low, interval.high)
}

impl Display for Results {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{} cases, {} raters, {} answers", self.cases, self.raters.len(), self.answers)?;
        for rater in &self.raters {
            let pace = rater.median_seconds.map_or(String::new(), |s| format!(", {s:.0} s a task (median)"));
            writeln!(f, "  {}: {} of {} tasks{pace}", rater.rater, rater.complete, rater.tasks)?;
        }
        match self.design {
            Design::Single => self.single(f)?,
            Design::Pairs => self.pairs(f)?,
        }
        if !self.agreement.is_empty() {
            writeln!(f, "\n{:<18} {:>8}   {:<18} {:>8}", "agreement", "alpha", "interval", "shared")?;
        }
        for found in &self.agreement {
            let alpha = found.alpha.map_or("—".to_owned(), |alpha| format!("{alpha:.2}"));
            let interval = found.interval.as_ref().map_or(String::new(), range);
            writeln!(f, "{:<18} {alpha:>8}   {interval:<18} {:>8}", found.attribute, found.shared)?;
        }
        let signature = self.scores.first().map(|score| &score.signature);
        if let Some(signature) =
            signature.or(self.preferences.first().map(|preference| &preference.signature))
        {
            writeln!(f, "\n{signature}")?;
        }
        Ok(())
    }
}

impl Results {
    fn single(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "\n{:<18} {:<16} {:>6}   {:<18} {:>6} {:>7}",
            "attribute", "system", "mean", "interval", "cases", "scores"
        )?;
        for score in &self.scores {
            writeln!(
                f,
                "{:<18} {:<16} {:>6.2}   {:<18} {:>6} {:>7}",
                score.attribute,
                score.system,
                score.mean,
                range(&score.interval),
                score.cases,
                score.scores
            )?;
        }
        if !self.contrasts.is_empty() {
            writeln!(
                f,
                "\n{:<18} {:<28} {:>10}   {:<18} {:>8} {:>8}",
                "attribute", "difference", "", "interval", "p", "p (Holm)"
            )?;
        }
        for contrast in &self.contrasts {
            writeln!(
                f,
                "{:<18} {:<28} {:>+10.2}   {:<18} {:>8.4} {:>8.4}",
                contrast.attribute,
                format!("{} − {}", contrast.second, contrast.first),
                contrast.difference,
                contrast.interval.as_ref().map_or(String::new(), range),
                contrast.p_randomization,
                contrast.p_holm
            )?;
        }
        Ok(())
    }

    fn pairs(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "\n{:<18} {:<28} {:>8}   {:<18} {:>15} {:>8} {:>8} {:>6}",
            "attribute", "preferred over", "win rate", "interval", "win/tie/loss", "p", "p (Holm)", "left"
        )?;
        for found in &self.preferences {
            writeln!(
                f,
                "{:<18} {:<28} {:>8.2}   {:<18} {:>15} {:>8.4} {:>8.4} {:>6}",
                found.attribute,
                format!("{} over {}", found.second, found.first),
                found.win_rate,
                range(&found.interval),
                format!("{}/{}/{}", found.wins, found.ties, found.losses),
                found.p_randomization,
                found.p_holm,
                found.left_share.map_or("—".to_owned(), |share| format!("{share:.2}"))
            )?;
        }
        Ok(())
    }
}
