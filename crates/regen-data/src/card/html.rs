//! The card as one HTML page that opens offline: no script, no link to anywhere.

use std::fmt::Write;

use super::distribution::Distribution;
use super::summary::{Count, DataCard};
use crate::{Chronology, FileReport};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--bar:#4a7fb5;--soft:#8881}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{margin-bottom:0}h2{margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}\
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}.tile{background:var(--soft);border-radius:.5rem;padding:.6rem 1rem}\
.tile b{display:block;font-size:1.5rem}.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1.5rem}\
table{border-collapse:collapse;width:100%}td,th{padding:.15rem .5rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
td.bar{width:55%}td.bar i{display:block;height:.9rem;background:var(--bar);border-radius:2px;min-width:1px}\
p.note,.quiet{opacity:.75;margin:.3rem 0}figure{margin:0}figcaption{font-weight:600}code{font-size:.9em;overflow-wrap:anywhere}";

impl DataCard {
    /// The card as an HTML page.
    pub fn to_html(&self) -> String {
        let mut page = Page(String::new());
        page.put(format_args!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
             <title>{0}: data card</title><style>{STYLE}</style><h1>{0}</h1><p class=quiet>Data card</p>",
            escape(&self.name)
        ));
        self.overview(&mut page);
        self.behaviour(&mut page);
        self.items_section(&mut page);
        self.narratives_section(&mut page);
        self.build_section(&mut page);
        page.0
    }

    fn overview(&self, page: &mut Page) {
        page.put(format_args!("<div class=tiles>"));
        for (what, number) in
            [("users", self.users), ("items", self.items), ("interactions", self.interactions)]
        {
            page.put(format_args!("<div class=tile><b>{}</b>{what}</div>", grouped(number)));
        }
        let narratives: usize = self.narratives.iter().map(|card| card.words.count).sum();
        page.put(format_args!("<div class=tile><b>{}</b>narratives</div>", grouped(narratives)));
        page.put(format_args!("<div class=tile><b>{}</b>density</div>", percent(self.density)));
        if let Some((first, last)) = &self.days {
            page.put(format_args!("<div class=tile><b>{first}</b>to {last}</div>"));
        }
        page.put(format_args!("</div>"));
    }

    fn behaviour(&self, page: &mut Page) {
        page.put(format_args!("<h2>Purchases</h2><div class=grid>"));
        page.histogram("Interactions of a user", &self.history_lengths, 1);
        page.histogram("Interactions of an item", &self.item_popularity, 1);
        page.put(format_args!("</div>"));
        page.note(format_args!(
            "The most popular tenth of the items takes {} of the interactions.",
            percent(self.top_tenth_share)
        ));
        match self.chronology {
            Chronology::Unknown => page.note(format_args!(
                "The source keeps neither times nor order: a history is everything else that the user bought."
            )),
            Chronology::Known if self.without_time > 0 => page.note(format_args!(
                "{} interactions have no time; their users' order is that of the file.",
                grouped(self.without_time)
            )),
            Chronology::Known => page.note(format_args!(
                "{} of the users with several purchases have some at the very same time; those keep the order of the file.",
                percent(self.users_with_ties)
            )),
        }
        if self.repeated_pairs > 0 {
            page.note(format_args!(
                "{} interactions repeat a user and an item.",
                grouped(self.repeated_pairs)
            ));
        }
        if self.weights.len() > 1 {
            page.counts("Weights", &self.weights);
        }
    }

    fn items_section(&self, page: &mut Page) {
        let card = &self.catalogue;
        page.put(format_args!(
            "<h2>Items</h2><div class=grid><figure><figcaption>What is known</figcaption><table>"
        ));
        for (what, count) in [
            ("anything", card.described),
            ("title", card.with_title),
            ("brand", card.with_brand),
            ("category", card.with_category),
            ("description", card.with_description),
            ("price", card.with_price),
        ] {
            let share = if self.items == 0 { 0.0 } else { count as f64 / self.items as f64 };
            page.bar(what, share, &percent(share));
        }
        page.put(format_args!("</table></figure>"));
        page.histogram("Words of an item's text", &card.text_words, 1);
        page.histogram("Prices", &card.prices, 2);
        page.counts("Most frequent categories", &card.top_categories);
        page.counts("Most frequent brands", &card.top_brands);
        page.put(format_args!("</div>"));
        if card.shared_titles > 0 {
            page.note(format_args!("{} items share their title with another.", grouped(card.shared_titles)));
        }
        if card.suspicious_prices > 0 {
            page.put(format_args!(
                "<p>Prices more than {1} times above or below the median of {2:.2} ({0} in all):</p><table>",
                grouped(card.suspicious_prices),
                Self::SUSPICIOUS_FACTOR,
                card.prices.median
            ));
            for sample in &card.suspicious_samples {
                page.put(format_args!(
                    "<tr><td class=n>{:.2}<td>{}<td><code>{}</code>",
                    sample.price,
                    escape(sample.title.as_deref().unwrap_or("(no title)")),
                    escape(&sample.item)
                ));
            }
            page.put(format_args!("</table>"));
        }
    }

    fn narratives_section(&self, page: &mut Page) {
        page.put(format_args!("<h2>Narratives</h2>"));
        if self.narratives.is_empty() {
            page.note(format_args!("None: this data set serves collaborative and semantic models only."));
            return;
        }
        page.put(format_args!("<div class=grid>"));
        for card in &self.narratives {
            page.histogram(&format!("Words of a {}", card.kind.as_str().replace('_', " ")), &card.words, 1);
        }
        page.put(format_args!("</div>"));
        for card in self.narratives.iter().filter(|card| card.repeated > 0) {
            page.note(format_args!(
                "{} of {} repeat another word for word.",
                grouped(card.repeated),
                card.kind
            ));
        }
    }

    fn build_section(&self, page: &mut Page) {
        let Some(build) = &self.build else { return };
        page.put(format_args!(
            "<h2>How it was made</h2><table><tr><th>file<th class=n>records<th class=n>lines left out"
        ));
        let files = build.review_files.iter().chain(&build.metadata_files).chain(&build.narrative_files);
        for FileReport { file, records, skipped } in files.clone() {
            page.put(format_args!(
                "<tr><td>{}<td class=n>{}<td class=n>{}",
                escape(file),
                grouped(*records as usize),
                grouped(skipped.lines as usize)
            ));
        }
        page.put(format_args!("</table>"));
        for sample in files.flat_map(|file| &file.skipped.samples) {
            page.note(format_args!("Left out: <code>{}</code>", escape(sample)));
        }
        page.put(format_args!("<table>"));
        let core = build.core.unwrap_or_default().removed_interactions;
        for (what, count) in [
            ("reviews that do not count by the preference rule", build.not_preferred),
            ("reviews that repeat a user and an item", build.duplicates),
            ("reviews without a time", build.without_time),
            ("interactions removed to reach the core", core),
            ("described items that nobody reviewed", build.items_without_interactions),
            ("metadata lines about an item described before", build.repeated_metadata),
            ("narratives of what their user did not buy", build.narratives_without_purchase),
            ("narratives that repeat another word by word", build.repeated_narratives),
            ("prices: none given", build.prices.missing),
            ("prices: one amount", build.prices.single),
            ("prices: a range, lower end kept", build.prices.range),
            ("prices: not readable", build.prices.unreadable),
        ] {
            page.put(format_args!("<tr><td>{what}<td class=n>{}", grouped(count)));
        }
        page.put(format_args!("</table>"));
        for sample in &build.prices.samples {
            page.note(format_args!("Not readable as a price: <code>{}</code>", escape(sample)));
        }
    }
}

struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        self.put(format_args!("<p class=note>{text}</p>"));
    }

    fn bar(&mut self, label: &str, share: f64, number: &str) {
        self.put(format_args!(
            "<tr><td class=n>{}<td class=bar>{}<td class=n>{number}",
            escape(label),
            // A bar of no width would still be drawn one pixel wide.
            if share > 0.0 { format!("<i style='width:{:.1}%'></i>", 100.0 * share) } else { String::new() }
        ));
    }

    fn histogram(&mut self, title: &str, values: &Distribution, decimals: usize) {
        self.put(format_args!("<figure><figcaption>{}</figcaption>", escape(title)));
        if values.count == 0 {
            self.put(format_args!("<p class=note>none</p></figure>"));
            return;
        }
        self.put(format_args!(
            "<p class=note>median {}, mean {:.decimals$}, 90 % at most {}, from {} to {}</p><table>",
            values.median, values.mean, values.p90, values.min, values.max
        ));
        let most = values.histogram.iter().map(|bin| bin.count).max().unwrap_or(1).max(1);
        for bin in &values.histogram {
            self.bar(&bin.label, bin.count as f64 / most as f64, &grouped(bin.count));
        }
        self.put(format_args!("</table></figure>"));
    }

    fn counts(&mut self, title: &str, counts: &[Count]) {
        if counts.is_empty() {
            return;
        }
        self.put(format_args!("<figure><figcaption>{}</figcaption><table>", escape(title)));
        for count in counts {
            self.put(format_args!("<tr><td>{}<td class=n>{}", escape(&count.name), grouped(count.count)));
        }
        self.put(format_args!("</table></figure>"));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// 1234567 → `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share of one as per cent, with the digits that matter.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        _ if percent == 0.0 || percent >= 10.0 => format!("{percent:.0} %"),
        _ if percent >= 0.1 => format!("{percent:.1} %"),
        _ => format!("{percent:.4} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 1.0, 0.055, 0.000_12].map(percent), ["0 %", "100 %", "5.5 %", "0.0120 %"]);
    }
}
