//! Error bars for numbers that are no function of sums.

/// A value with its standard error from leaving out one segment at a time.
///
/// **Source** Tukey 1958; Efron & Tibshirani 1993, ch. 11.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Jackknife {
    /// The value of all segments.
    pub value: f64,
    /// Its standard error; 0 for a single segment, about which nothing can be said.
    pub standard_error: f64,
}

impl Jackknife {
    /// From the value of everything and the values without one segment each.
    pub(super) fn new(value: f64, without: &[f64]) -> Self {
        let count = without.len() as f64;
        let standard_error = if without.len() < 2 {
            0.0
        } else {
            let mean = without.iter().sum::<f64>() / count;
            let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
            (squares * (count - 1.0) / count).sqrt()
        };
        Self { value, standard_error }
    }

    /// The 95 % interval of the normal approximation, cut to 0..=1 where the value itself lies there.
    pub fn interval(&self) -> [f64; 2] {
        let reach = 1.959_963_984_540_054 * self.standard_error;
        let (low, high) = (self.value - reach, self.value + reach);
        if (0.0..=1.0).contains(&self.value) { [low.max(0.0), high.min(1.0)] } else { [low, high] }
    }
}
