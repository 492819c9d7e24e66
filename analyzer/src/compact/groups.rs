//! The segments of a day that belong together: each group becomes one file.

use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;

use crate::recording::sealed::Sealed;

/// The longest time between two consecutive segments.
const SEAM_US: i64 = 1_000_000;

/// The size of merged segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// A segment of this size is large enough; a merged one stays below twice this size.
    pub target_bytes: u64,
}

/// A sealed file of the day.
pub(super) struct DayFile {
    pub(super) name: SegmentName,
    pub(super) segment: Sealed,
}

/// Runs of at least two segments to merge.
pub(super) fn grouped(mut sources: Vec<DayFile>, policy: Policy) -> Vec<Vec<DayFile>> {
    sources.retain(|source| source.segment.bytes < policy.target_bytes);
    sources.sort_by_key(|source| {
        let footer = &source.segment.footer;
        (source.name.host().to_owned(), footer.recorded_from_us, source.name.clone())
    });
    let mut groups: Vec<(Vec<DayFile>, u64)> = Vec::new();
    for source in sources {
        let bytes = source.segment.bytes;
        match groups.last_mut() {
            Some((group, sum))
                if *sum + bytes <= policy.target_bytes
                    && group.last().is_some_and(|last| follows(last, &source)) =>
            {
                *sum += bytes;
                group.push(source);
            }
            _ => groups.push((vec![source], bytes)),
        }
    }
    groups.into_iter().map(|(group, _)| group).filter(|group| group.len() > 1).collect()
}

/// Whether the second segment continues the first and has equal metadata.
fn follows(one: &DayFile, other: &DayFile) -> bool {
    let (a, b) = (&one.segment.footer, &other.segment.footer);
    let is_same = |a: &Footer, b: &Footer| {
        a.schema_version == b.schema_version
            && a.taxonomy_version == b.taxonomy_version
            && a.recorder == b.recorder
            && a.host == b.host
            && a.boot_id == b.boot_id
            && a.kernel == b.kernel
            && a.sites == b.sites
            && a.reasons == b.reasons
            && a.filtered == b.filtered
            && a.recovered == b.recovered
    };
    one.name.host() == other.name.host()
        && is_same(a, b)
        && b.recorded_from_us - a.recorded_to_us <= SEAM_US
}
