//! How the learning rate moves over a run.

/// The factor of every group's learning rate at each step.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// A straight rise, then half a cosine down to a floor.
    ///
    /// **Source** Loshchilov and Hutter 2017, "SGDR", equation 5, with one period.
    WarmupCosine {
        /// Steps of the rise.
        warmup_steps: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// The factor at the end, between 0 and 1.
        floor: f64,
    },
}

impl Schedule {
    /// The factor for update `step`, counted from 0. Past the end it stays at the floor.
    ///
    /// ```
    /// use regen_lm::train::Schedule;
    /// let schedule = Schedule::WarmupCosine { warmup_steps: 10, total_steps: 110, floor: 0.1 };
    /// assert_eq!(schedule.factor(4), 0.5);
    /// assert_eq!(schedule.factor(10), 1.0);
    /// assert!((schedule.factor(60) - 0.55).abs() < 1e-12);
    /// assert_eq!(schedule.factor(500), 0.1);
    /// ```
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::WarmupCosine { warmup_steps, total_steps, floor } => {
                if step < warmup_steps {
                    return (step + 1) as f64 / warmup_steps as f64;
                }
                if step >= total_steps {
                    return floor;
                }
                let progress = (step - warmup_steps) as f64 / (total_steps - warmup_steps) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}
