//! Suggestions for a mistyped name.

/// The names that are most similar to a wrong one, at most three.
pub(crate) fn near<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = wrong.chars().count().max(3) / 3 + 1;
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| {
            let within = wrong.len() > 2 && (name.contains(&*wrong) || wrong.contains(name));
            (if within { 1 } else { distance(&wrong, name) }, name)
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// The number of letters to add, remove or change (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (place, theirs) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *theirs);
            diagonal = row[place + 1];
            row[place + 1] = change.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

/// The end of a message about a wrong name: the similar names, or else where to find the right one.
pub(crate) fn hint<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    let near = near(wrong, names);
    if near.is_empty() { otherwise.to_owned() } else { format!("is it {}?", near.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        let names = ["app_linger0", "app_linger2", "timewait", "closed_port", "cause"];
        assert_eq!(near("app_linger", names), ["app_linger0", "app_linger2"]);
        assert_eq!(near("time_wait", names), ["timewait"]);
        assert_eq!(near("cuase", names), ["cause"]);
        assert_eq!(near("zzzzzz", names), [] as [&str; 0]);
        assert_eq!(hint("cuase", names, "see the list"), "is it cause?");
        assert_eq!(hint("zzzzzz", names, "see the list"), "see the list");
    }
}
