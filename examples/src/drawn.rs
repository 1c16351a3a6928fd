//! Several narratives drawn for each request, of which the one is kept that the others agree with most.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use ndarray::Axis;
use regen_lm::GenerateOptions;
use regen_metrics::{Chrf, Consensus, Rouge, consensus, consensus_of_vectors};
use regen_narrator::{Narrative, NarrativeWriter, Request};
use regen_semantic::SentenceEncoder;

use crate::similarity::embed;

/// By what narratives agree.
#[derive(Debug)]
pub enum Agreement {
    /// A score of each text with each other one as its reference.
    RougeL(Rouge),
    /// As above.
    Chrf(Chrf),
    /// The cosine of embeddings.
    Embeddings(Box<SentenceEncoder>),
}

impl Agreement {
    /// Of each run of `candidates` texts, the index in it of the one that the others agree with most.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn choose(&self, texts: &[&str], candidates: usize) -> Result<Vec<usize>> {
        let size = candidates.max(1);
        let chosen: Result<Vec<Consensus>, regen_metrics::Error> = match self {
            Self::RougeL(rouge) => texts.chunks(size).map(|run| consensus(rouge, run)).collect(),
            Self::Chrf(chrf) => texts.chunks(size).map(|run| consensus(chrf, run)).collect(),
            Self::Embeddings(encoder) => {
                let vectors = embed(encoder, texts)?;
                vectors.axis_chunks_iter(Axis(0), size).map(consensus_of_vectors).collect()
            }
        };
        Ok(chosen?.into_iter().map(|consensus| consensus.best).collect())
    }
}

/// How narratives are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing<'a> {
    /// How one is; its streams of draws are set here.
    pub options: &'a GenerateOptions,
    /// Narratives written at once.
    pub batch: usize,
    /// Narratives of each request, of which one is kept.
    pub candidates: usize,
}

impl Drawing<'_> {
    /// One narrative for each request. `first` is the place of the first in the whole list: the draws of a request follow from its
    /// place and the seed, wherever an earlier run was stopped, and its first candidate is what is drawn where there is only one.
    ///
    /// # Errors
    /// Those of [`NarrativeWriter::narrate`] and [`Agreement::choose`].
    pub fn draw(
        &self,
        writer: &NarrativeWriter<'_>,
        requests: &[Request],
        first: usize,
        agreement: &Agreement,
    ) -> Result<Vec<Narrative>> {
        let candidates = self.candidates.max(1);
        let repeated: Vec<Request> =
            requests.iter().flat_map(|request| std::iter::repeat_n(request, candidates).cloned()).collect();
        let streams = (first..first + requests.len()).flat_map(|request| {
            (0..candidates as u64).map(move |candidate| (candidate << 40) | request as u64)
        });
        let options = GenerateOptions { row_streams: Some(streams.collect()), ..self.options.clone() };
        let written = writer.narrate(&repeated, &options, self.batch, &mut |_| ControlFlow::Continue(()))?;
        let written: Vec<Narrative> =
            written.into_iter().collect::<Option<_>>().context("a narrative was not written")?;
        let texts: Vec<&str> = written.iter().map(|narrative| narrative.text.as_str()).collect();
        let chosen = agreement.choose(&texts, candidates)?;
        Ok(written.chunks(candidates).zip(chosen).filter_map(|(run, best)| run.get(best).cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use regen_metrics::{Chrf, Rouge};

    use super::Agreement;

    #[test]
    fn each_request_keeps_the_candidate_that_its_own_others_agree_with() {
        let texts =
            ["warm socks", "a blue pen", "a red pen", "warm socks", "cold soup", "warm socks for winter"];
        for agreement in [Agreement::RougeL(Rouge::l()), Agreement::Chrf(Chrf::default())] {
            let chosen = agreement.choose(&texts, 3).unwrap();
            assert!(matches!(chosen[..], [1 | 2, 0 | 2]), "{chosen:?}");
        }
        assert_eq!(Agreement::RougeL(Rouge::l()).choose(&texts, 1).unwrap(), [0; 6]);
    }
}
