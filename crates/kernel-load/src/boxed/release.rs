// SPDX-License-Identifier: MIT OR Apache-2.0
//! Releases of kernels as text: their numbers, and the series that they belong to.

use std::cmp::Ordering;

/// The numbers in a release, in order.
pub(super) fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// Compares releases by their numbers.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

/// Whether a release is `name`, or of the series that it names: 6.1 has 6.1.176 and 6.1.0-56-cloud-amd64, not 6.12.
pub(super) fn is_of_series(release: &str, name: &str) -> bool {
    let rest = release.strip_prefix(name).filter(|_| !name.is_empty());
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_its_releases() {
        for (release, name, fits) in [
            ("6.1.176", "6.1", true),
            ("6.12.117", "6.1", false),
            ("6.1.0-56-cloud-amd64", "6.1", true),
            ("6.12.117+deb12-cloud-amd64", "6.12.117", true),
            ("6.12.117", "6.12.117", true),
            ("6.12.117", "", false),
        ] {
            assert_eq!(is_of_series(release, name), fits, "{release} {name}");
        }
        assert_eq!(by_version("6.1.176", "6.12.3"), Ordering::Less);
        assert_eq!(by_version("6.12.117+deb12", "6.12.9"), Ordering::Greater);
    }
}
