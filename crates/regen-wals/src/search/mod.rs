//! Looking for settings: a grid of cells, each a fit that is judged on held-out pairs, all the way
//! or by successive halving.
//!
//! ```
//! # use regen_wals::{EarlyStopping, HoldOut, InteractionMatrix, WalsConfig, evaluate::RankingMetric};
//! # use regen_wals::search::{Search, SearchSpace, Strategy};
//! # let pairs = (0..40u32).flat_map(|u| (0..5u32).map(move |k| (u, (u % 2) + 2 * ((u + k * 3) % 10), 1.0)));
//! # let matrix = InteractionMatrix::from_triplets(40, 20, pairs)?;
//! let (train, held_out) = HoldOut { share: 0.2, users: None, seed: 7 }.split(&matrix)?;
//! let space = SearchSpace {
//!     base: WalsConfig { iterations: 8, ..WalsConfig::default() },
//!     ranks: vec![2, 4],
//!     regularizations: vec![0.003, 0.03],
//!     unobserved_weights: vec![0.1],
//!     frequency_exponents: vec![1.0],
//! };
//! let stopping = EarlyStopping { held_out: &held_out, metric: RankingMetric::Ndcg, k: 5, patience: 2 };
//! let strategy = Strategy::SuccessiveHalving { first_iterations: 2, factor: 2 };
//! // With a folder, a search that was stopped goes on after its last finished cell.
//! let search = Search { space: &space, strategy, train: &train, stopping, folder: None };
//! let report = search.run(&mut |_| std::ops::ControlFlow::Continue(()))?;
//! println!("{:?} after {} iterations", report.trials[0].config, report.trials[0].best_iteration);
//! # Ok::<(), regen_wals::Error>(())
//! ```

mod journal;
mod run;
mod space;

pub use run::{Search, SearchProgress, SearchReport, Trial};
pub use space::{SearchSpace, Strategy};
