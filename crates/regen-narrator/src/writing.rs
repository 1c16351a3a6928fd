//! How a narrator writes: what its caller says, its bundle, the folder of its language model, and the library, in this order.

use std::path::Path;

use regen_lm::generate::GenerationDefaults;
use regen_lm::{DecoderConfig, GenerateOptions, Sampling};
use serde::{Deserialize, Serialize};

use crate::{Error, Narrator, Result};

/// What somebody says of how a narrator writes; `None` says nothing. A bundle keeps what [`Narrator::set_writing`] was told.
///
/// Each setting is that of the first who says something: the caller ([`Narrator::generate_options_with`]; the flags of
/// `write_narratives`), the bundle, the folder that the language model came from (`generation_config.json`), the library, which is
/// greedy and without penalties. A folder speaks for the model as its makers left it, and usually wants draws; training on references
/// moves the model to where greedy narratives may be nearer to them, and then the bundle should say so, as bundles of the programs
/// do ([`greedy`](Self::greedy)).
///
/// Three things go another way. A narrative has at most the tokens that it had in training, whatever a folder says of lengths. Every
/// stop id of the folder ends a narrative, beside the narrator's own. And beams that a folder wants are for whoever asks for them:
/// [`Narrator::folder_writing`] tells them, [`NarrativeWriter::search`](crate::NarrativeWriter::search) takes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WritingDefaults {
    /// How tokens are chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// As [`GenerateOptions::repetition_penalty`]; 1 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// As [`GenerateOptions::no_repeat_ngram`]: a narrative never holds the same run of this many tokens twice; 0 allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram: Option<usize>,
}

impl WritingDefaults {
    /// Says what the library does: the most probable token, no penalty, runs allowed.
    pub fn greedy() -> Self {
        let library = GenerateOptions::default();
        Self {
            sampling: Some(Sampling::Greedy),
            repetition_penalty: Some(library.repetition_penalty),
            no_repeat_ngram: Some(library.no_repeat_ngram),
        }
    }

    /// Where this says nothing, what `others` say.
    #[must_use]
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            sampling: self.sampling.or(others.sampling),
            repetition_penalty: self.repetition_penalty.or(others.repetition_penalty),
            no_repeat_ngram: self.no_repeat_ngram.or(others.no_repeat_ngram),
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&GenerationDefaults> for WritingDefaults {
    /// What a folder wants otherwise than the library.
    fn from(folder: &GenerationDefaults) -> Self {
        let (options, library) = (&folder.options, GenerateOptions::default());
        Self {
            sampling: Some(options.sampling.clone()).filter(|sampling| *sampling != library.sampling),
            repetition_penalty: Some(options.repetition_penalty)
                .filter(|penalty| *penalty != library.repetition_penalty),
            no_repeat_ngram: Some(options.no_repeat_ngram).filter(|run| *run != library.no_repeat_ngram),
        }
    }
}

/// Who says a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaidBy {
    /// Whoever asks for narratives.
    Caller,
    /// The narrator's bundle, or [`Narrator::set_writing`].
    Bundle,
    /// The folder of the language model.
    Folder,
    /// Nobody else.
    Library,
}

/// A setting, and who says it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said<T> {
    /// The setting.
    pub value: T,
    /// Who says it.
    pub by: SaidBy,
}

/// How a narrator writes, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WritingSettings {
    /// How tokens are chosen.
    pub sampling: Said<Sampling>,
    /// As [`GenerateOptions::repetition_penalty`].
    pub repetition_penalty: Said<f64>,
    /// As [`GenerateOptions::no_repeat_ngram`].
    pub no_repeat_ngram: Said<usize>,
}

/// The `generation_config.json` of a language model.
#[derive(Debug)]
pub(crate) struct FolderWriting {
    /// As it is, for bundles.
    pub(crate) text: Vec<u8>,
    said: regen_lm::Result<Option<GenerationDefaults>>,
}

impl FolderWriting {
    /// Reads the file where there is one. What it says is refused by whoever asks: a model can be trained on whatever it says.
    pub(crate) fn read(dir: &Path, config: &DecoderConfig) -> Result<Option<Self>> {
        let path = dir.join(GenerationDefaults::FILE);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(Self { text, said: GenerationDefaults::find(dir, config) })),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }
}

impl Narrator {
    /// What its bundle says of how it writes.
    pub fn writing(&self) -> &WritingDefaults {
        &self.writing
    }

    /// Says how it is to write where its caller says nothing, for the bundle.
    pub fn set_writing(&mut self, writing: WritingDefaults) {
        self.writing = writing;
    }

    /// What the folder of its language model says of how the model writes, where it has a `generation_config.json`. Bundles that hold the
    /// language model keep the file; of an opened bundle, a file that was not there when it was saved says nothing.
    ///
    /// # Errors
    /// Those of [`GenerationDefaults::load`]. Such a folder is taken for one that says nothing.
    pub fn folder_writing(&self) -> std::result::Result<Option<&GenerationDefaults>, &regen_lm::Error> {
        self.folder.as_ref().map_or(Ok(None), |folder| folder.said.as_ref().map(Option::as_ref))
    }

    /// How it writes where its caller asks for `asked`, and who says so.
    pub fn writing_settings(&self, asked: &WritingDefaults) -> WritingSettings {
        let folder = self.folder_writing().ok().flatten().map(WritingDefaults::from).unwrap_or_default();
        let library = GenerateOptions::default();
        let from = [(asked, SaidBy::Caller), (&self.writing, SaidBy::Bundle), (&folder, SaidBy::Folder)];
        fn first<T>(
            from: &[(&WritingDefaults, SaidBy); 3],
            read: impl Fn(&WritingDefaults) -> Option<T>,
            library: T,
        ) -> Said<T> {
            let said = from.iter().find_map(|(said, by)| Some(Said { value: read(said)?, by: *by }));
            said.unwrap_or(Said { value: library, by: SaidBy::Library })
        }
        WritingSettings {
            sampling: first(&from, |said| said.sampling.clone(), library.sampling),
            repetition_penalty: first(&from, |said| said.repetition_penalty, library.repetition_penalty),
            no_repeat_ngram: first(&from, |said| said.no_repeat_ngram, library.no_repeat_ngram),
        }
    }

    /// The options that follow from [`writing_settings`](Self::writing_settings), with as many tokens as in training and the stop ids of the
    /// folder.
    pub fn generate_options_with(&self, asked: &WritingDefaults) -> GenerateOptions {
        let settings = self.writing_settings(asked);
        let folder = self.folder_writing().ok().flatten();
        GenerateOptions {
            max_new_tokens: self.config.max_narrative_tokens,
            sampling: settings.sampling.value,
            repetition_penalty: settings.repetition_penalty.value,
            no_repeat_ngram: settings.no_repeat_ngram.value,
            stop: folder.map(|folder| folder.options.stop.clone()).unwrap_or_default(),
            ..GenerateOptions::default()
        }
    }

    /// The options where the caller asks for nothing: what the bundle says, the folder, and the library, in this order.
    pub fn generate_options(&self) -> GenerateOptions {
        self.generate_options_with(&WritingDefaults::default())
    }
}
