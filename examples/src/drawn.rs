//! Several narratives drawn for each request, of which the one is kept that the others agree with most.

use std::ops::ControlFlow;

use anyhow::Result;
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
    /// `None` where `flow`, which is asked after each batch, broke before all were written.
    ///
    /// # Errors
    /// Those of [`NarrativeWriter::narrate`] and [`Agreement::choose`].
    pub fn draw(
        &self,
        writer: &NarrativeWriter<'_>,
        requests: &[Request],
        first: usize,
        agreement: &Agreement,
        flow: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Vec<Narrative>>> {
        let candidates = self.candidates.max(1);
        let repeated: Vec<Request> =
            requests.iter().flat_map(|request| std::iter::repeat_n(request, candidates).cloned()).collect();
        let streams = (first..first + requests.len()).flat_map(|request| {
            (0..candidates as u64).map(move |candidate| (candidate << 40) | request as u64)
        });
        let options = GenerateOptions { row_streams: Some(streams.collect()), ..self.options.clone() };
        let written = writer.narrate(&repeated, &options, self.batch, &mut |_| flow())?;
        let Some(written) = written.into_iter().collect::<Option<Vec<Narrative>>>() else { return Ok(None) };
        let texts: Vec<&str> = written.iter().map(|narrative| narrative.text.as_str()).collect();
        let chosen = agreement.choose(&texts, candidates)?;
        let runs = written.chunks(candidates).zip(chosen);
        Ok(Some(runs.filter_map(|(run, best)| run.get(best).cloned()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use regen_lm::{DecoderConfig, Sampling, train_bpe};
    use regen_narrator::{ItemIds, ItemTables, Narrator, NarratorConfig, PassageConfig, special_tokens};
    use tch::Device;

    use super::*;

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

    /// Of untrained weights, which reads phrases.
    fn narrator() -> Narrator {
        let kinds = vec!["purchase_reason".to_owned()];
        let special = special_tokens(&kinds);
        let special: Vec<&str> = special.iter().map(String::as_str).collect();
        let tokenizer = train_bpe(["You chose the red lamp."].into_iter(), 280, &special).unwrap();
        let config = NarratorConfig {
            adapter: None,
            decoder: DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap(),
            next_item: false,
            kinds,
            max_history: 1,
            max_narrative_tokens: 6,
            passage: Some(PassageConfig { max_tokens: 16, copy_width: 8 }),
            words: None,
            lora: None,
            injection: None,
        };
        Narrator::new(config, ItemTables::none(), ItemIds::default(), tokenizer, Device::Cpu, 5).unwrap()
    }

    #[test]
    fn draws_follow_from_the_place_of_a_request_and_a_run_that_is_stopped_gives_none() {
        let narrator = narrator();
        let writer = narrator.writer().unwrap();
        let request = |phrase: &str| Request {
            kind: "purchase_reason".into(),
            passage: vec![phrase.to_owned()],
            ..Request::default()
        };
        let requests = ["red", "lamp", "the lamp"].map(request);
        let sampling = Sampling::Sample { temperature: 1.0, top_k: None, top_p: None, min_p: None };
        let options = GenerateOptions { sampling, seed: 3, ..narrator.generate_options() };
        let draw = |requests: &[Request], first, flow: &mut dyn FnMut() -> ControlFlow<()>| {
            let drawing = Drawing { options: &options, batch: 2, candidates: 4 };
            let agreement = Agreement::Chrf(Chrf::default());
            let drawn = drawing.draw(&writer, requests, first, &agreement, flow).unwrap();
            drawn.map(|drawn| drawn.into_iter().map(|narrative| narrative.text).collect::<Vec<_>>())
        };
        let go_on = &mut || ControlFlow::Continue(());
        let all = draw(&requests, 0, go_on).unwrap();
        assert_eq!(draw(&requests[1..], 1, go_on).unwrap(), all[1..]);
        let mut batches = 0;
        let stopped = draw(&requests, 0, &mut || {
            batches += 1;
            ControlFlow::Break(())
        });
        assert_eq!((stopped, batches), (None, 1));
    }
}
