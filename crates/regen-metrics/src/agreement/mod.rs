//! Whether raters agree with one another: Krippendorff's alpha, Cohen's kappa, Spearman's rho. The unit that is
//! resampled is what was rated, so each has an interval and tests like every other score.

mod alpha;
mod kappa;
mod spearman;

pub use alpha::{Alpha, AlphaStats, Scale, krippendorff_alpha};
pub use kappa::{Kappa, KappaStats, KappaWeights, cohen_kappa};
pub use spearman::{Spearman, SpearmanStats, spearman};
