//! Nested users as a data set.

use std::path::PathBuf;

use super::fields::RegenFields;
use super::record::RegenRecords;
use crate::{Dataset, FileReport, Interaction, Narrative, OnError, Preference, Result};

/// Reads files of nested users. Texts about an item are about the user's last purchase; a user without purchases
/// keeps user summaries only. Of an item that occurs repeatedly the first description that holds anything is kept.
///
/// # Errors
/// Those of reading JSON lines; [`Error::MissingField`](crate::Error::MissingField) for a record without a user or
/// history, or a purchase without an item.
pub fn read(
    name: &str,
    paths: &[PathBuf],
    fields: &RegenFields,
    preference: Preference,
    on_error: OnError,
) -> Result<(Dataset, Vec<FileReport>)> {
    let mut data = Dataset { name: name.to_owned(), ..Default::default() };
    let mut files = Vec::new();
    for path in paths {
        let mut records = RegenRecords::open(path, fields, on_error)?;
        let mut count = 0;
        for record in records.by_ref() {
            let record = record?;
            count += 1;
            let user = data.users.intern(&record.user)?;
            let mut last = None;
            for purchase in record.purchases {
                let Some(weight) = preference.weight(purchase.rating) else { continue };
                let item = data.items.intern(&purchase.item)?;
                data.catalogue.resize(data.items.len(), None);
                let entry = &mut data.catalogue[item.index()];
                if entry.is_none() && !purchase.metadata.is_empty() {
                    *entry = Some(purchase.metadata);
                }
                let (time, rating) = (purchase.time, purchase.rating);
                data.interactions.push(Interaction { user, item, weight, time, rating });
                last = Some(item);
            }
            for (kind, text) in record.narratives {
                let item = if kind.uses_immediate_context() { last } else { None };
                if kind.uses_immediate_context() && item.is_none() {
                    continue;
                }
                data.narratives.push(Narrative { user, item, kind, text });
            }
        }
        files.push(FileReport::new(path, count, records.skipped()));
    }
    Ok((data, files))
}
