//! A report as a list of blocks, written as one HTML page that opens offline or as Markdown.

use std::fmt::Write;

use crate::report::{STYLE, escape};

/// A report.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// What follows.
    pub blocks: Vec<Block>,
}

/// A part of a report. Texts are plain: what HTML or Markdown would read as markup is escaped.
#[derive(Debug, Clone)]
pub enum Block {
    /// A heading; 2 or 3.
    Heading(u8, String),
    /// A paragraph.
    Text(String),
    /// A paragraph of lesser weight.
    Note(String),
    /// A table: names of columns, rows. The first column and those of words are aligned left.
    Table(Vec<String>, Vec<Vec<Entry>>),
    /// A chart as inline SVG, with what it shows in words, which may be none. Markdown and terminal have only the words.
    Figure(String, String),
    /// Texts side by side: a heading line, a context line, names and texts.
    Sample(String, String, Vec<(String, String)>),
    /// Text that keeps its lines.
    Verbatim(String),
}

/// A table's cell: what it says, and what stands small beneath.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// The small text; may be empty.
    pub small: String,
}

impl<S: Into<String>> From<S> for Entry {
    fn from(text: S) -> Self {
        Self { text: text.into(), small: String::new() }
    }
}

impl Entry {
    /// A cell with a small text.
    pub fn with(text: impl Into<String>, small: impl Into<String>) -> Self {
        Self { text: text.into(), small: small.into() }
    }
}

impl Document {
    /// One HTML page.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
             <h1>{title}</h1>"
        );
        for block in &self.blocks {
            // Writing to a string does not fail.
            let _ = block.html(&mut page);
        }
        page.push_str("</main></body></html>\n");
        page
    }

    /// The same for a terminal: tables in columns, no charts.
    pub fn terminal(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for block in &self.blocks {
            let _ = block.terminal(&mut text);
        }
        text
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", plain(&self.title));
        for block in &self.blocks {
            text.push('\n');
            let _ = block.markdown(&mut text);
        }
        text
    }
}

impl Block {
    fn html(&self, page: &mut String) -> std::fmt::Result {
        match self {
            Self::Heading(level, text) => write!(page, "<h{level}>{}</h{level}>", escape(text)),
            Self::Text(text) => write!(page, "<p>{}</p>", escape(text)),
            Self::Note(text) => write!(page, "<p class=\"note\">{}</p>", escape(text)),
            Self::Table(columns, rows) => {
                page.push_str("<table><thead><tr>");
                let class: Vec<&str> = left(columns, rows)
                    .into_iter()
                    .map(|left| if left { " class=\"written\"" } else { "" })
                    .collect();
                for (column, class) in columns.iter().zip(&class) {
                    write!(page, "<th{class}>{}</th>", escape(column))?;
                }
                page.push_str("</tr></thead><tbody>");
                for row in rows {
                    page.push_str("<tr>");
                    for (cell, class) in row.iter().zip(&class) {
                        write!(page, "<td{class}>{}", escape(&cell.text))?;
                        if !cell.small.is_empty() {
                            write!(page, "<small>{}</small>", escape(&cell.small))?;
                        }
                        page.push_str("</td>");
                    }
                    page.push_str("</tr>");
                }
                page.push_str("</tbody></table>");
                Ok(())
            }
            Self::Figure(svg, words) if words.is_empty() => write!(page, "{svg}"),
            Self::Figure(svg, words) => write!(page, "{svg}<p class=\"note\">{}</p>", escape(words)),
            Self::Sample(head, context, texts) => {
                write!(
                    page,
                    "<div class=\"sample\"><div class=\"kind\">{}</div><div class=\"context\">{}</div><dl>",
                    escape(head),
                    escape(context)
                )?;
                for (name, text) in texts {
                    write!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(text))?;
                }
                page.push_str("</dl></div>");
                Ok(())
            }
            Self::Verbatim(text) => write!(page, "<pre>{}</pre>", escape(text)),
        }
    }

    fn terminal(&self, text: &mut String) -> std::fmt::Result {
        match self {
            Self::Heading(_, heading) => writeln!(text, "\n{heading}"),
            Self::Text(paragraph) => writeln!(text, "{paragraph}"),
            Self::Figure(_, words) if !words.is_empty() => writeln!(text, "{words}"),
            Self::Note(_) | Self::Figure(..) | Self::Verbatim(_) => Ok(()),
            Self::Table(columns, rows) => {
                let shown = |entry: &Entry| match entry.small.as_str() {
                    "" => entry.text.clone(),
                    small => format!("{} [{small}]", entry.text),
                };
                let head = columns.clone();
                let lines: Vec<Vec<String>> = std::iter::once(head)
                    .chain(rows.iter().map(|row| row.iter().map(shown).collect()))
                    .collect();
                let width = |column: usize| {
                    let cells = lines.iter().filter_map(|line| line.get(column));
                    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
                };
                let widths: Vec<usize> = (0..columns.len()).map(width).collect();
                let left = left(columns, rows);
                for line in &lines {
                    for ((cell, &width), &left) in line.iter().zip(&widths).zip(&left) {
                        if left {
                            write!(text, "  {cell:<width$}")?;
                        } else {
                            write!(text, "  {cell:>width$}")?;
                        }
                    }
                    text.push('\n');
                }
                Ok(())
            }
            Self::Sample(head, context, texts) => {
                writeln!(text, "\n[{head}] {context}")?;
                for (name, written) in texts {
                    writeln!(text, "  {name}: {written}")?;
                }
                Ok(())
            }
        }
    }

    fn markdown(&self, text: &mut String) -> std::fmt::Result {
        match self {
            Self::Heading(level, heading) => {
                writeln!(text, "{} {}", "#".repeat(usize::from(*level)), plain(heading))
            }
            Self::Text(paragraph) | Self::Note(paragraph) => writeln!(text, "{}", plain(paragraph)),
            Self::Table(columns, rows) => {
                writeln!(text, "| {} |", columns.iter().map(|c| plain(c)).collect::<Vec<_>>().join(" | "))?;
                let rules = left(columns, rows).into_iter().map(|left| if left { "---" } else { "---:" });
                writeln!(text, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
                for row in rows {
                    let cells = row.iter().map(|cell| match cell.small.as_str() {
                        "" => plain(&cell.text),
                        small => format!("{} ({})", plain(&cell.text), plain(small)),
                    });
                    writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
                }
                Ok(())
            }
            Self::Figure(_, words) if words.is_empty() => Ok(()),
            Self::Figure(_, words) => writeln!(text, "(Chart in the HTML page: {})", plain(words)),
            Self::Sample(head, context, texts) => {
                writeln!(text, "**{}**: {}\n", plain(head), plain(context))?;
                for (name, written) in texts {
                    writeln!(text, "- *{}*: {}", plain(name), plain(written))?;
                }
                Ok(())
            }
            Self::Verbatim(lines) => writeln!(text, "```\n{}\n```", lines.replace("```", "'''")),
        }
    }
}

/// Which columns are aligned left: the first, and those of words.
fn left(columns: &[String], rows: &[Vec<Entry>]) -> Vec<bool> {
    let word = |cell: &Entry| cell.text.starts_with(char::is_alphabetic);
    (0..columns.len())
        .map(|column| column == 0 || rows.iter().filter_map(|row| row.get(column)).any(word))
        .collect()
}

/// Text without line breaks, and with a backslash before what Markdown or HTML would read as markup.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_words_are_aligned_left_and_those_of_numbers_right() {
        let columns = ["arm", "BLEU", "verdict"].map(str::to_owned).to_vec();
        let row = |cells: [&str; 3]| cells.map(Entry::from).to_vec();
        let rows = vec![row(["cf", "17.2 (semantic)", "holds"]), row(["text", "–", ""])];
        let document = Document { title: String::new(), blocks: vec![Block::Table(columns, rows)] };
        assert!(document.markdown().contains("| --- | ---: | --- |"));
        assert!(
            document.html().contains("<td class=\"written\">holds") && document.html().contains("<td>17.2")
        );
        assert!(document.terminal().contains("cf    17.2 (semantic)  holds"));
    }

    #[test]
    fn what_a_text_says_is_never_read_as_markup() {
        let evil = "<script>|*x*\n# y";
        let document = Document {
            title: evil.to_owned(),
            blocks: vec![
                Block::Text(evil.to_owned()),
                Block::Table(vec![evil.to_owned()], vec![vec![Entry::with(evil, evil)]]),
                Block::Sample(evil.to_owned(), evil.to_owned(), vec![(evil.to_owned(), evil.to_owned())]),
                Block::Verbatim(format!("```{evil}")),
            ],
        };
        assert!(!document.html().contains("<script>"));
        let markdown = document.markdown();
        let body = markdown.split("```").next().unwrap();
        assert!(!body.contains("<script>") && !body.contains("\n# y"));
        assert!(body.contains("\\|\\*x\\* \\# y"));
        // One fence opens, one closes.
        assert_eq!(markdown.matches("```").count(), 2);
    }
}
