//! A metric applied to a corpus: the statistics of every segment, from which score, interval and
//! comparison follow without touching the texts again.

use std::collections::HashMap;
use std::hash::Hash;

use rayon::prelude::*;

use crate::aggregate::{Aggregate, Metric, ReferenceCount, Scored, Statistics};
use crate::error::{Error, Result};
use crate::resample::{Bootstrap, Interval, bootstrap_interval};

/// Anything that holds the references of one segment: a text, or several.
pub trait References {
    /// Appends each reference to `into`.
    fn append<'a>(&'a self, into: &mut Vec<&'a str>);
}

macro_rules! one_reference {
    ($($type:ty),*) => {$(
        impl References for $type {
            fn append<'a>(&'a self, into: &mut Vec<&'a str>) {
                into.push(self);
            }
        }
    )*};
}
one_reference!(String, &str, &String, std::borrow::Cow<'_, str>);

macro_rules! several_references {
    ($($type:ty $(, $constant:ident)?);*) => {$(
        impl<S: AsRef<str> $(, const $constant: usize)?> References for $type {
            fn append<'a>(&'a self, into: &mut Vec<&'a str>) {
                into.extend(self.iter().map(AsRef::as_ref));
            }
        }
    )*};
}
several_references!(Vec<S>; &[S]; &Vec<S>; [S; N], N);

/// The statistics of all segments of a corpus under one metric.
#[derive(Clone, Debug)]
pub struct Measurement<A: Aggregate> {
    aggregate: A,
    segments: Vec<A::Stats>,
    signature: String,
    /// Segments of each run; their sum is the number of segments.
    runs: Vec<usize>,
    /// The unit of each segment, counted from 0, where runs have units in common.
    shared: Option<Vec<usize>>,
}

impl<A: Aggregate> Measurement<A> {
    /// Wraps statistics that were computed elsewhere, one entry per segment.
    ///
    /// # Errors
    /// [`Error::Empty`] without segments.
    pub fn new(aggregate: A, segments: Vec<A::Stats>, signature: String) -> Result<Self> {
        if segments.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self { runs: vec![segments.len()], aggregate, segments, signature, shared: None })
    }

    /// The runs of one experiment (seeds, folds, worlds) as one measurement. The corpus value is that of all
    /// their segments together; intervals and tests draw runs with replacement and then, within each run that
    /// was drawn, its segments (or groups), so that both kinds of chance count.
    ///
    /// With R runs the variance between runs comes out too small by the factor (R − 1)/R: intervals from two or
    /// three runs are a lower bound of what one does not know.
    ///
    /// **Source** Davison & Hinkley 1997, *Bootstrap Methods and their Application*, §3.8 (hierarchical data,
    /// strategy 1: with replacement at both levels).
    ///
    /// # Errors
    /// [`Error::Empty`] without runs; [`Error::UnlikeRuns`] where their signatures differ.
    pub fn pooled(runs: &[Self]) -> Result<Self> {
        let first = runs.first().ok_or(Error::Empty)?;
        if let Some(other) = runs.iter().find(|run| run.signature != first.signature) {
            let (expected, got) = (first.signature.clone(), other.signature.clone());
            return Err(Error::UnlikeRuns { expected, got });
        }
        Ok(Self {
            aggregate: first.aggregate.clone(),
            segments: runs.iter().flat_map(|run| run.segments.iter().cloned()).collect(),
            signature: first.signature.clone(),
            runs: runs.iter().flat_map(|run| run.runs.iter().copied()).collect(),
            shared: None,
        })
    }

    /// Says that [`pooled`](Self::pooled) runs have units in common, such as users who are judged under every seed: `keys[k]` is the
    /// unit of segment (or group) k. Intervals and tests then draw runs, and once for all of them units; otherwise a unit of three
    /// runs would count as three, and what is not known would come out too small.
    ///
    /// **Source** Owen 2007, *The pigeonhole bootstrap*, Annals of Applied Statistics 1(2): of two crossed factors both are drawn, and
    /// the variance comes out rather too large than too small.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] unless there is one key per segment.
    pub fn with_shared_units<K: Eq + Hash>(mut self, keys: &[K]) -> Result<Self> {
        self.shared = Some(self.numbered(keys)?);
        Ok(self)
    }

    /// The unit of each segment, where runs have units in common.
    pub(crate) fn shared_units(&self) -> Option<&[usize]> {
        self.shared.as_deref()
    }

    /// How many units resampling draws from: the segments (or groups), each unit once where runs have units in common.
    pub fn units(&self) -> usize {
        let shared = self.shared.as_ref().and_then(|units| units.iter().max());
        shared.map_or(self.segments.len(), |last| last + 1)
    }

    /// The number of each segment's key, counted from 0 in order of first appearance.
    fn numbered<K: Eq + Hash>(&self, keys: &[K]) -> Result<Vec<usize>> {
        let (expected, got) = (self.segments.len(), keys.len());
        if expected != got {
            return Err(Error::CountMismatch { what: "group keys", expected, got });
        }
        let mut known: HashMap<&K, usize> = HashMap::new();
        let number = |key| {
            let next = known.len();
            *known.entry(key).or_insert(next)
        };
        Ok(keys.iter().map(number).collect())
    }

    /// How many segments each run has; one entry unless [`pooled`](Self::pooled).
    pub fn runs(&self) -> &[usize] {
        &self.runs
    }

    /// The metric's name.
    pub fn name(&self) -> String {
        self.aggregate.name()
    }

    /// The function from statistics to scores.
    pub fn aggregate(&self) -> &A {
        &self.aggregate
    }

    /// Every choice that moves the score.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The statistics, one entry per segment, or per group after [`grouped`](Self::grouped).
    pub fn segments(&self) -> &[A::Stats] {
        &self.segments
    }

    /// The score of the whole corpus.
    pub fn score(&self) -> A::Score {
        let mut total = A::Stats::default();
        for segment in &self.segments {
            total.add(segment);
        }
        self.aggregate.score(&total)
    }

    /// The headline number of the corpus score.
    pub fn value(&self) -> f64 {
        self.score().value()
    }

    /// The score of each segment by itself.
    ///
    /// For BLEU this is only sensible with `effective_order`, as in sacrebleu.
    pub fn segment_scores(&self) -> Vec<A::Score> {
        self.segments.iter().map(|segment| self.aggregate.score(segment)).collect()
    }

    /// Adds up the segments that share a key, such as the user they were written for. Intervals and
    /// tests then treat the group as the unit that was sampled, which is right whenever segments of
    /// one group resemble each other. Groups stand in order of first appearance; the corpus score is
    /// unchanged up to rounding. Group each run before [`pooled`](Self::pooled): the result is a single run.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] unless there is one key per segment.
    pub fn grouped<K: Eq + Hash>(&self, keys: &[K]) -> Result<Self> {
        let mut groups: Vec<A::Stats> = Vec::new();
        for (group, segment) in self.numbered(keys)?.into_iter().zip(&self.segments) {
            if group == groups.len() {
                groups.push(A::Stats::default());
            }
            groups[group].add(segment);
        }
        Self::new(self.aggregate.clone(), groups, self.signature.clone())
    }

    /// A percentile bootstrap interval of the corpus value, resampling segments (or groups).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a confidence outside (0, 1) or fewer than two resamples.
    pub fn interval(&self, bootstrap: &Bootstrap) -> Result<Interval> {
        bootstrap_interval(self, bootstrap)
    }
}

/// Scores hypotheses against references: `hypotheses[i]` belongs to `references[i]`, which may be one
/// text or several.
///
/// Runs on all threads of the current rayon pool; the result does not depend on their number.
///
/// # Errors
/// [`Error::CountMismatch`], [`Error::Empty`], or [`Error::NoReference`] naming the segment.
pub fn measure<M, H, R>(metric: &M, hypotheses: &[H], references: &[R]) -> Result<Measurement<M>>
where
    M: Metric,
    H: AsRef<str> + Sync,
    R: References + Sync,
{
    if hypotheses.len() != references.len() {
        return Err(Error::CountMismatch {
            what: "references",
            expected: hypotheses.len(),
            got: references.len(),
        });
    }
    let (mut fewest, mut most) = (usize::MAX, 0);
    let mut texts = Vec::new();
    for (segment, entry) in references.iter().enumerate() {
        texts.clear();
        entry.append(&mut texts);
        if texts.is_empty() {
            return Err(Error::NoReference { segment });
        }
        fewest = fewest.min(texts.len());
        most = most.max(texts.len());
    }
    let count = if fewest == most { ReferenceCount::Fixed(most) } else { ReferenceCount::Varying };
    let segments = hypotheses
        .par_iter()
        .zip(references)
        .with_min_len(16)
        .map_init(M::Scratch::default, |scratch, (hypothesis, entry)| {
            let mut texts = Vec::with_capacity(1);
            entry.append(&mut texts);
            metric.segment_with(scratch, hypothesis.as_ref(), &texts)
        })
        .collect();
    Measurement::new(metric.clone(), segments, metric.signature(count))
}
