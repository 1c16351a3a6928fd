//! Counting what answers cost.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens of one answer, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the question, as the endpoint counts them; 0 where it does not say.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

impl Usage {
    /// Both together.
    pub fn total(self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// What a run has asked and what it found answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Answers that the model gave in this run.
    pub answers: u64,
    /// Their tokens: what this run costs.
    pub asked: Usage,
    /// Answers that the journal had.
    pub replayed_answers: u64,
    /// Their tokens, paid for in an earlier run.
    pub replayed: Usage,
}

/// What tokens cost, in any currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// For a million tokens of questions.
    pub per_million_prompt: f64,
    /// For a million tokens of answers.
    pub per_million_completion: f64,
}

impl Prices {
    /// The cost of `usage`.
    pub fn cost(&self, usage: Usage) -> f64 {
        (usage.prompt_tokens as f64 * self.per_million_prompt
            + usage.completion_tokens as f64 * self.per_million_completion)
            / 1e6
    }
}
