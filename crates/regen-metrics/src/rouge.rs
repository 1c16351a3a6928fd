//! ROUGE as Google's rouge-score computes it.
//!
//! Words are maximal runs of `a-z0-9` after lower-casing, optionally stemmed; a corpus value is the mean
//! over the segments. With several references the one with the best F1 counts.
//!
//! **Source** Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*.

use crate::aggregate::{Aggregate, FScore, FScoreStats, Metric, ReferenceCount};
use crate::error::{Error, Result};
use crate::lcs::{LcsLength, mark_lcs};
use crate::ngrams::CommonNgrams;
use crate::signature::ROUGE_VERSION;
use crate::stems::Stems;
use crate::tokenize::{Folded, Found};
use crate::vocabulary::Vocabulary;

/// What ROUGE counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum RougeVariant {
    /// Common n-grams of this order, 1 to 9.
    N(usize),
    /// Longest common subsequence of the whole texts.
    L,
    /// Union of the longest common subsequences of each reference sentence with all hypothesis
    /// sentences; sentences are lines, as in rouge-score without `split_summaries`.
    Lsum,
}

/// The ROUGE metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rouge {
    variant: RougeVariant,
    stemmer: bool,
}

impl Rouge {
    /// A variant, with or without Porter stemming of words longer than three letters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an n-gram order outside 1 to 9.
    pub fn new(variant: RougeVariant, stemmer: bool) -> Result<Self> {
        if let RougeVariant::N(order) = variant
            && !(1..=9).contains(&order)
        {
            return Err(Error::OutOfRange {
                metric: "ROUGE",
                field: "order",
                expected: "1 to 9",
                got: order as f64,
            });
        }
        Ok(Self { variant, stemmer })
    }

    /// ROUGE-1 without stemming, rouge-score's default.
    pub fn one() -> Self {
        Self { variant: RougeVariant::N(1), stemmer: false }
    }

    /// ROUGE-2 without stemming.
    pub fn two() -> Self {
        Self { variant: RougeVariant::N(2), stemmer: false }
    }

    /// ROUGE-L without stemming.
    pub fn l() -> Self {
        Self { variant: RougeVariant::L, stemmer: false }
    }

    /// ROUGE-Lsum without stemming.
    pub fn lsum() -> Self {
        Self { variant: RougeVariant::Lsum, stemmer: false }
    }

    /// The same variant with Porter stemming.
    pub fn stemmed(self) -> Self {
        Self { stemmer: true, ..self }
    }
}

impl Aggregate for Rouge {
    type Stats = FScoreStats;
    type Score = FScore;

    fn name(&self) -> String {
        match self.variant {
            RougeVariant::N(order) => format!("ROUGE-{order}"),
            RougeVariant::L => "ROUGE-L".to_owned(),
            RougeVariant::Lsum => "ROUGE-Lsum".to_owned(),
        }
    }

    fn score(&self, total: &FScoreStats) -> FScore {
        total.mean()
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub struct RougeScratch {
    reader: Reader,
    ngrams: CommonNgrams,
    lcs: LcsLength,
    hypothesis: Lines,
    reference: Lines,
    table: Vec<u32>,
    used: Vec<bool>,
    left: Vec<[u32; 2]>,
}

/// The words of a text, and where its lines end.
#[derive(Default)]
struct Lines {
    words: Vec<u32>,
    ends: Vec<usize>,
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let line = &self.words[start..end];
            start = end;
            line
        })
    }
}

impl Metric for Rouge {
    type Scratch = RougeScratch;

    fn segment_with(&self, scratch: &mut RougeScratch, hypothesis: &str, references: &[&str]) -> FScoreStats {
        scratch.reader.vocabulary.clear();
        scratch.reader.read(hypothesis, self.stemmer, &mut scratch.hypothesis);
        let mut best: Option<FScore> = None;
        for reference in references {
            scratch.reader.read(reference, self.stemmer, &mut scratch.reference);
            let score = self.compare(scratch);
            if best.is_none_or(|best| score.f1 > best.f1) {
                best = Some(score);
            }
        }
        FScoreStats::of(best.unwrap_or_default())
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let variant = match self.variant {
            RougeVariant::N(order) => order.to_string(),
            RougeVariant::L => "L".to_owned(),
            RougeVariant::Lsum => "Lsum".to_owned(),
        };
        format!(
            "nrefs:{references}|rouge:{variant}|stem:{}|tok:rouge-score|agg:mean|version:{ROUGE_VERSION}",
            if self.stemmer { "porter" } else { "no" },
        )
    }
}

impl Rouge {
    /// Compares the hypothesis with the reference that the buffers hold.
    fn compare(&self, scratch: &mut RougeScratch) -> FScore {
        let RougeScratch { reader, ngrams, lcs, hypothesis, reference, .. } = scratch;
        let (ours, theirs) = (hypothesis.words.len(), reference.words.len());
        let vocabulary = reader.vocabulary.len();
        let (hits, ours, theirs) = match self.variant {
            RougeVariant::N(order) => {
                let hits = ngrams.count(&hypothesis.words, &reference.words, order, vocabulary);
                let ngrams = |words: usize| (words + 1).saturating_sub(order);
                (hits, ngrams(ours), ngrams(theirs))
            }
            RougeVariant::L => (lcs.length(&reference.words, &hypothesis.words, vocabulary), ours, theirs),
            RougeVariant::Lsum => (summary_hits(scratch), ours, theirs),
        };
        FScore::new(hits as f64 / ours.max(1) as f64, hits as f64 / theirs.max(1) as f64)
    }
}

/// Words of the reference that the union of longest common subsequences covers, none counted more often
/// than it occurs on either side.
fn summary_hits(scratch: &mut RougeScratch) -> usize {
    let RougeScratch { reader, hypothesis, reference, table, used, left, .. } = scratch;
    left.clear();
    left.resize(reader.vocabulary.len(), [0; 2]);
    for (side, lines) in [&*hypothesis, &*reference].into_iter().enumerate() {
        for &word in &lines.words {
            left[word as usize][side] += 1;
        }
    }
    let mut hits = 0;
    for line in reference.iter() {
        used.clear();
        used.resize(line.len(), false);
        for other in hypothesis.iter() {
            mark_lcs(line, other, table, used);
        }
        for (&word, _) in line.iter().zip(used.iter()).filter(|(_, used)| **used) {
            let counts = &mut left[word as usize];
            if counts.iter().all(|&count| count > 0) {
                *counts = counts.map(|count| count - 1);
                hits += 1;
            }
        }
    }
    hits
}

/// Cuts texts into words, stems the long ones if asked, and numbers them.
#[derive(Default)]
struct Reader {
    text: Folded,
    stems: Stems,
    vocabulary: Vocabulary,
}

impl Reader {
    fn read(&mut self, text: &str, stemmer: bool, lines: &mut Lines) {
        lines.words.clear();
        lines.ends.clear();
        self.text.read(text);
        let (bytes, stems, vocabulary) = (self.text.bytes(), &mut self.stems, &mut self.vocabulary);
        self.text.words(|found| match found {
            Found::Word(word) if stemmer && word.len() > 3 => {
                let (bytes, stem) = stems.of(bytes, word);
                if !stem.is_empty() {
                    lines.words.push(vocabulary.intern_at(bytes, stem));
                }
            }
            Found::Word(word) => lines.words.push(vocabulary.intern_at(bytes, word)),
            Found::LineBreak => lines.ends.push(lines.words.len()),
        });
        lines.ends.push(lines.words.len());
    }
}
