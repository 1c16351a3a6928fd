//! Processors without a kernel: no level exists, so libtorch's path is kept everywhere.

/// Outputs of one panel.
pub(super) const PANEL: usize = 32;

/// As on processors that have a kernel.
pub(super) trait Work {
    /// Does it.
    fn run(self);
}

/// Never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {}

impl Level {
    pub(super) fn available() -> Vec<Self> {
        Vec::new()
    }

    pub(super) fn rows(self) -> usize {
        match self {}
    }

    pub(super) fn multiply<const ROWS: usize>(self, _: &[f32], _: &[f32], _: &mut [[f32; PANEL]; ROWS]) {
        match self {}
    }

    pub(super) fn run(self, _: impl Work) {
        match self {}
    }
}
