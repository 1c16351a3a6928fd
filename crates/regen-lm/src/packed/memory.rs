//! Memory that passes use again and again: a pass through a block makes half a dozen results as long as the prompts, and the next
//! block makes them anew.

use regen_kernel::{AttentionScratch, Scratch, Spare};

/// Results of a pass, kept from block to block and from step to step.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// `[tokens, hidden]`.
    pub(super) normed: Vec<f32>,
    /// Queries, keys and values, `[tokens, (heads + 2 · kv_heads) · head_dim]`.
    pub(super) projected: Vec<f32>,
    /// What attention makes, `[tokens, heads · head_dim]` of each row and key head by itself.
    pub(super) mixed: Vec<f32>,
    /// The same, token by token.
    pub(super) joined: Vec<f32>,
    /// `[tokens, intermediate]`.
    pub(super) inner: Vec<f32>,
    /// `[tokens, hidden]`, where what a branch gives is normed before it is added.
    pub(super) branch: Vec<f32>,
    pub(super) products: Spare<Scratch>,
    pub(super) parts: Spare<Part>,
}

/// What a core needs for the tokens that it computes by itself.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) normed: Vec<f32>,
    pub(super) joined: Vec<f32>,
    pub(super) inner: Vec<f32>,
    pub(super) branch: Vec<f32>,
    /// Queries that share a key head, turned.
    pub(super) queries: Vec<f32>,
    pub(super) scores: Vec<f32>,
    /// Keys and values of a head that are held in less than f32.
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) products: Scratch,
    pub(super) attention: AttentionScratch,
}

/// So many numbers; what they are means nothing.
pub(super) fn room(memory: &mut Vec<f32>, numbers: usize) -> &mut [f32] {
    if memory.len() < numbers {
        memory.resize(numbers, 0.0);
    }
    &mut memory[..numbers]
}
