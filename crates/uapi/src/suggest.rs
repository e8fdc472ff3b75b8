// SPDX-License-Identifier: MIT OR Apache-2.0
//! Near names: what a user may have meant by a word that nothing has.

/// The candidate that is most like `word`, if any is like it: at most a third of its characters wrong.
#[must_use]
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate, limit), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, remove, replace, swap neighbours) from one word to another, in any case; anything above
/// `limit` counts as `limit + 1`.
fn distance(from: &str, to: &str, limit: usize) -> usize {
    let a: Vec<char> = from.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = to.chars().map(|c| c.to_ascii_lowercase()).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()].min(limit + 1)
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn the_nearest_name_wins_and_strangers_are_no_suggestion() {
        let names = ["map_lookup_elem", "map_update_elem", "map_delete_elem", "tail_call"];
        assert_eq!(suggest("map_lokup_elem", names), Some("map_lookup_elem"));
        assert_eq!(suggest("MAP_UPDATE_ELME", names), Some("map_update_elem"));
        assert_eq!(suggest("tail_cal", names), Some("tail_call"));
        assert_eq!(suggest("xdp_adjust_head", names), None);
        assert_eq!(suggest("", names), None);
    }
}
