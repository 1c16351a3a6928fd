//! A model's chat template, with the conventions of transformers.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Map, Value};

use super::marks::Control;
use super::message::Chat;
use super::python;
use crate::error::{Error, Result};
use crate::tokenizer::TextTokenizer;

/// What rendering may cost, in instructions of the engine: thousands of long turns, but no endless loop.
const FUEL: u64 = 50_000_000;

/// Stands behind the content of the last turn while a conversation that ends there is rendered. Its space shows whether the template
/// keeps the white space at the end of contents.
///
/// **Source** transformers 5.23, `render_jinja_template`.
const END: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// The template where none is named, and the one where there are tools.
const DEFAULT: &str = "default";
const WITH_TOOLS: &str = "tool_use";

/// A model's chat template (`chat_template.jinja`, or the field of `tokenizer_config.json`).
///
/// Templates are Jinja as transformers renders it: blocks are trimmed, `raise_exception`, `strftime_now`, `tojson` as
/// `json.dumps` writes it, `{% generation %}`, `break` and `continue`, the methods of Python's strings and dictionaries, and the
/// tokenizer's special tokens as `bos_token`, `eos_token` and so on. A template cannot read files or run for ever.
///
/// ```
/// use regen_lm::chat::{Chat, ChatTemplate, Message, Role};
/// let tokenizer = regen_lm::train_bpe(["a blue pen"].into_iter(), 300, &["<|user|>", "<|model|>"])?;
/// let source = "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}{{ eos_token }}{% endfor %}
/// {%- if add_generation_prompt %}<|model|>{% endif %}";
/// let template = ChatTemplate::new(source, &tokenizer)?;
/// let chat = Chat::asking(vec![Message::new(Role::User, "a pen")]);
/// assert_eq!(template.render(&chat)?, "<|user|>a pen<|eos|><|model|>");
/// assert_eq!(template.encode(&chat)?.last(), Some(&4));
/// # Ok::<(), regen_lm::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatTemplate<'a> {
    environment: Environment<'static>,
    /// Names and sources, as the model's folder has them.
    sources: Vec<(String, String)>,
    tokenizer: &'a TextTokenizer,
}

impl<'a> ChatTemplate<'a> {
    /// The template, or templates, that came with the tokenizer.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] if there is none; [`Error::ChatTemplate`] if one is not a template.
    pub fn of(tokenizer: &'a TextTokenizer) -> Result<Self> {
        let named = tokenizer.templates().iter();
        let sources: Vec<_> = named.map(|named| (named.name.clone(), named.source.clone())).collect();
        if sources.is_empty() {
            return Err(Error::NoChatTemplate { name: DEFAULT.to_owned(), known: String::new() });
        }
        Self::with(sources, tokenizer)
    }

    /// A template of the caller's.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if it is none.
    pub fn new(source: &str, tokenizer: &'a TextTokenizer) -> Result<Self> {
        Self::with(vec![(DEFAULT.to_owned(), source.to_owned())], tokenizer)
    }

    fn with(sources: Vec<(String, String)>, tokenizer: &'a TextTokenizer) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed("setting up"))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, _, value| {
            out.write_str(&python::shown(value)?)
                .map_err(|source| minijinja::Error::from(ErrorKind::WriteFailure).with_source(source))
        });
        environment.add_filter("tojson", python::tojson);
        environment.add_function("raise_exception", |message: String| {
            Err::<minijinja::Value, _>(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        for (name, source) in &sources {
            let source = without_generation_blocks(source);
            environment.add_template_owned(name.clone(), source).map_err(failed("reading"))?;
        }
        Ok(Self { environment, sources, tokenizer })
    }

    /// The tokenizer that it speaks with.
    pub fn tokenizer(&self) -> &'a TextTokenizer {
        self.tokenizer
    }

    /// The conversation as text. To encode it, use [`encode`](Self::encode), which knows what the messages said.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if the template raises an exception, or asks for what is not there;
    /// [`Error::NoChatTemplate`] if the tokenizer has several and none is the default; where the last turn is to be continued,
    /// [`Error::MessageNotRendered`] if the template leaves it out or changes it, and [`Error::Argument`] if there is none, or if
    /// another turn is to begin, and where a field of a message or a variable has a name that the conversation takes itself.
    pub fn render(&self, chat: &Chat) -> Result<String> {
        self.render_as(chat, &str::to_owned)
    }

    /// The ids of the conversation. Control tokens are those that the template writes; one that a message, a tool or a variable
    /// spells out is text.
    ///
    /// Only whole control tokens are found: a template that joins pieces of messages into one is not defended against.
    ///
    /// # Errors
    /// As [`render`](Self::render), and as [`TextTokenizer::encode_plain`].
    pub fn encode(&self, chat: &Chat) -> Result<Vec<i64>> {
        let (_, source) = self.chosen(chat)?;
        let control = Control::of(self.tokenizer, source);
        control.encode(&self.render_as(chat, &|text| control.mark(text))?)
    }

    fn chosen(&self, chat: &Chat) -> Result<(&str, &str)> {
        let find = |wanted: &str| self.sources.iter().find(|(name, _)| name == wanted);
        let with_tools = if chat.tools.is_empty() { None } else { find(WITH_TOOLS) };
        let found = with_tools.or_else(|| find(DEFAULT));
        found.map(|(name, source)| (name.as_str(), source.as_str())).ok_or_else(|| Error::NoChatTemplate {
            name: DEFAULT.to_owned(),
            known: self.sources.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Every string that the template sees is changed by `text`.
    fn render_as(&self, chat: &Chat, text: &dyn Fn(&str) -> String) -> Result<String> {
        chat.check()?;
        let mut values = chat.values(text);
        if !chat.continue_final_message {
            return self.render_values(chat, values);
        }
        let refuse = |what, expected, got: &str| Err(Error::Argument { what, expected, got: got.to_owned() });
        if chat.add_generation_prompt {
            return refuse("add_generation_prompt", "false where the last turn is to be continued", "true");
        }
        let Some(last) = chat.messages.last() else {
            return refuse("messages", "at least one, which is to be continued", "none");
        };
        let content = text(&last.content);
        values["messages"][chat.messages.len() - 1]["content"] = Value::String(content.clone() + END);
        let rendered = self.render_values(chat, values)?;
        let end = rendered.rfind(END.trim_end()).filter(|_| rendered.contains(content.trim()));
        let Some(end) = end else { return Err(Error::MessageNotRendered { content: last.content.clone() }) };
        let ours = &rendered[..end];
        Ok(if rendered[end..].starts_with(END) { ours } else { ours.trim_end() }.to_owned())
    }

    fn render_values(&self, chat: &Chat, values: Map<String, Value>) -> Result<String> {
        let (name, _) = self.chosen(chat)?;
        let now = chat.now;
        let strftime = minijinja::Value::from_function(move |format: &str| {
            let refuse = |what: String| minijinja::Error::new(ErrorKind::InvalidOperation, what);
            let now =
                now.ok_or_else(|| refuse("the template asks for the date, and none was given".to_owned()))?;
            now.format(format).map_err(|what| refuse(format!("strftime_now does not know {what}")))
        });
        // As in transformers, a variable of the caller goes before a special token of the same name.
        let roles = self.tokenizer.roles().iter();
        let roles = roles
            .filter(|(role, _)| !values.contains_key(*role))
            .map(|(role, token)| (*role, minijinja::Value::from(token.as_str())));
        let given = values.iter().map(|(name, value)| (name.as_str(), python::value(value)));
        let context = minijinja::Value::from_pairs(roles.chain(given).chain([("strftime_now", strftime)]));
        let template = self.environment.get_template(name).map_err(failed("reading"))?;
        template.render(context).map_err(failed("rendering"))
    }
}

/// `{% generation %}` marks what the model said, for training on it; what is rendered stays the same without.
fn without_generation_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, block) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = block.find("%}") else {
            rest = block;
            break;
        };
        let (block, after) = block.split_at(end);
        let name = block[2..].trim_matches(|letter: char| letter.is_whitespace() || "+-".contains(letter));
        out.push_str(&match name {
            "generation" => block.replace("generation", "if true"),
            "endgeneration" => block.replace("endgeneration", "endif"),
            _ => block.to_owned(),
        });
        rest = after;
    }
    out + rest
}

fn failed(action: &'static str) -> impl FnOnce(minijinja::Error) -> Error {
    move |source| Error::ChatTemplate { action, source: Box::new(source) }
}
