//! A table of interactions as numbers, with the names they stand for.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use regen_data::{Columns, IdMap, InteractionTable, ItemId, UserId};
use regen_wals::InteractionMatrix;
use regen_wals::evaluate::RankingReport;
use serde_json::{Value, json};

/// Ids in order of first appearance, and pairs of their numbers.
#[derive(Debug)]
pub struct Pairs {
    /// Line k names user k.
    pub users: IdMap<UserId>,
    /// Line k names item k.
    pub items: IdMap<ItemId>,
    /// (user, item, value); pairs may occur several times.
    pub triplets: Vec<(u32, u32, f32)>,
}

/// Pairs to judge by.
#[derive(Debug)]
pub struct HeldOut {
    /// (user, item) of users and items that the training table names; pairs may occur several times.
    pub known: Vec<(u32, u32)>,
    /// Distinct pairs of other users or items.
    pub unknown: usize,
}

/// Hands out user, item and value of each row; without a value column every value is 1.
///
/// # Errors
/// If the table is damaged, a value is negative, an id could not stand on a line of an id list, or `take` fails.
pub fn each_row(path: &Path, mut take: impl FnMut(&str, &str, f32) -> Result<()>) -> Result<()> {
    let mut table = InteractionTable::open(path, &Columns::default())?;
    while let Some(row) = table.next() {
        let row = row?;
        let place = || format!("{}:{}", path.display(), table.line());
        let value = row.value.unwrap_or(1.0);
        ensure!(value >= 0.0, "{}: value is {value}, and a weight must not be negative", place());
        for (what, id) in [("user", &row.user), ("item", &row.item)] {
            // Found out here, and not when the id lists are written after the fit.
            ensure!(
                !id.contains(['\n', '\r']),
                "{}: {what} {id:?} holds a line break, and id lists have one id a line",
                place()
            );
        }
        take(&row.user, &row.item, value)?;
    }
    Ok(())
}

impl Pairs {
    /// Reads a whole table.
    ///
    /// # Errors
    /// As [`each_row`], and if the table is empty.
    pub fn read(path: &Path) -> Result<Self> {
        let mut pairs = Self { users: IdMap::new(), items: IdMap::new(), triplets: Vec::new() };
        each_row(path, |user, item, value| {
            let user = pairs.users.intern(user)?.index() as u32;
            let item = pairs.items.intern(item)?.index() as u32;
            pairs.triplets.push((user, item, value));
            Ok(())
        })?;
        ensure!(!pairs.triplets.is_empty(), "{} holds no pair", path.display());
        Ok(pairs)
    }

    /// Names without pairs, from lists of them.
    ///
    /// # Errors
    /// If there are too many.
    pub fn of_ids(users: &[String], items: &[String]) -> Result<Self> {
        let mut pairs = Self { users: IdMap::new(), items: IdMap::new(), triplets: Vec::new() };
        users.iter().try_for_each(|name| pairs.users.intern(name).map(drop))?;
        items.iter().try_for_each(|name| pairs.items.intern(name).map(drop))?;
        Ok(pairs)
    }

    /// Pairs of another table whose user and item this one knows.
    ///
    /// # Errors
    /// If the table is damaged, or there is none.
    pub fn read_known(&self, path: &Path) -> Result<HeldOut> {
        let mut known = Vec::new();
        let mut unknown = HashSet::new();
        for row in InteractionTable::open(path, &Columns::default())? {
            let row = row?;
            match (self.users.get(&row.user), self.items.get(&row.item)) {
                (Some(user), Some(item)) => known.push((user.index() as u32, item.index() as u32)),
                _ => {
                    unknown.insert((row.user, row.item));
                }
            }
        }
        ensure!(!known.is_empty(), "{} holds no pair of known users and items", path.display());
        Ok(HeldOut { known, unknown: unknown.len() })
    }

    /// As [`read_known`](Self::read_known), of which some are to be judged by: those that `train` has too cannot be.
    ///
    /// # Errors
    /// As there, and if `train` has all of them.
    pub fn read_held_out(&self, path: &Path, train: &InteractionMatrix) -> Result<HeldOut> {
        let held_out = self.read_known(path)?;
        check_unseen(path, &held_out.known, train)?;
        Ok(held_out)
    }

    /// The matrix, without pairs of value 0 if they are to count as unobserved. Takes the
    /// triplets; the names stay.
    ///
    /// # Errors
    /// If a value is refused.
    pub fn matrix(&mut self, drop_zeros: bool) -> Result<InteractionMatrix> {
        let mut triplets = std::mem::take(&mut self.triplets);
        if drop_zeros {
            triplets.retain(|&(_, _, value)| value != 0.0);
        }
        InteractionMatrix::from_triplets(self.users.len(), self.items.len(), triplets)
            .map_err(|error| self.in_names(error))
    }

    /// What is wrong with a pair, by its names: no row alone is to blame for a sum.
    pub fn in_names(&self, error: regen_wals::Error) -> anyhow::Error {
        let regen_wals::Error::InvalidValue { user, item, value } = error else { return error.into() };
        match (self.users.names().nth(user as usize), self.items.names().nth(item as usize)) {
            (Some(user), Some(item)) => anyhow!(
                "the values of user {user:?} and item {item:?} come to {value} together, beyond the range of 32-bit floats"
            ),
            _ => error.into(),
        }
    }
}

/// Refuses held-out pairs that the training matrix has, every one.
///
/// # Errors
/// If so, naming the file.
pub fn check_unseen(path: &Path, held_out: &[(u32, u32)], train: &InteractionMatrix) -> Result<()> {
    let seen = |&(user, item): &(u32, u32)| train.user_row(user as usize).0.binary_search(&item).is_ok();
    ensure!(
        !held_out.iter().all(seen),
        "every pair of {} that could be judged by is in the training table too: hold others out",
        path.display()
    );
    Ok(())
}

/// Prints what a fit came to: its factors, where they are, and how the loss fell.
pub fn print_fit(users: usize, items: usize, rank: usize, out: &Path, objective: &[f64]) {
    println!("factors: {users} users, {items} items, rank {rank}: {}", out.display());
    if let (Some(first), Some(last)) = (objective.first(), objective.last()) {
        println!("loss: {first:.6e} -> {last:.6e}");
    }
}

/// Prints how held-out pairs were ranked and adds it to the JSON of a program.
pub fn print_ranking(
    report: &mut Value,
    ours: &RankingReport,
    popular: Option<&RankingReport>,
    unknown: usize,
) {
    println!("                 recall@20  ndcg@20   mrr@20    hr@20");
    for (name, r) in [("factors", Some(ours)), ("most popular", popular)] {
        if let Some(r) = r {
            println!("{name:<16} {:>9.5} {:>8.5} {:>8.5} {:>8.5}", r.recall, r.ndcg, r.mrr, r.hit_rate);
        }
    }
    println!(
        "{} users with {} held-out pairs; left out: {} already in the training table, {unknown} of unknown users or items",
        ours.users, ours.pairs, ours.already_seen
    );
    report["recall@20"] = json!(ours.recall);
    report["ndcg@20"] = json!(ours.ndcg);
    report["mrr@20"] = json!(ours.mrr);
    report["hr@20"] = json!(ours.hit_rate);
    if let Some(popular) = popular {
        report["most_popular"] = json!({ "recall@20": popular.recall, "ndcg@20": popular.ndcg });
    }
    report["test"] = json!({
        "users": ours.users, "pairs": ours.pairs, "already_seen": ours.already_seen, "unknown": unknown,
    });
}
