//! Processors without a kernel: no level exists, so nothing here is ever called.

use crate::level::{Level, Set, Work};
use crate::panels::{Bytes, Floats, PANEL, Pairs};

pub(crate) type Sums = [f32; PANEL];

pub(crate) const MOST_ROWS: usize = 12;

impl Level {
    pub(crate) fn rows(self) -> usize {
        let Set::None(never) = self.0;
        match never {}
    }
}

pub(crate) fn run(level: Level, _: impl Work) {
    let Set::None(never) = level.0;
    match never {}
}

pub(crate) fn f32(level: Level, _: &[Floats], _: &[f32], _: usize, _: &mut [Sums]) {
    let Set::None(never) = level.0;
    match never {}
}

pub(crate) fn bf16(level: Level, _: &[Pairs], _: &[u32], _: usize, _: &mut [Sums]) {
    let Set::None(never) = level.0;
    match never {}
}

pub(crate) fn int8(level: Level, _: (&[Bytes], &[Floats]), _: usize, _: &[f32], _: usize, _: &mut [Sums]) {
    let Set::None(never) = level.0;
    match never {}
}
