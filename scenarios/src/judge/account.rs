//! The account in the footers of a recording, and addresses of the kernel in its files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use tcprst_schema::footer::KEY_PREFIX;

use super::sealed::rows_of;

/// The sum over all sealed segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub seen: u64,
    /// Rows.
    pub written: u64,
    /// Resets of a storm, which the kernel half only counts. 0 for a recorder that counts none.
    pub counted: u64,
    pub lost: u64,
}

impl Account {
    /// Reads the footers below `recording`.
    pub fn read(recording: &Path) -> Result<Self> {
        let mut account = Self::default();
        for path in parquet_files(&recording.join("resets"))? {
            let what = || format!("read {}", path.display());
            let file = File::open(&path).with_context(what)?;
            let reader = SerializedFileReader::new(file).with_context(what)?;
            let pairs = reader.metadata().file_metadata().key_value_metadata();
            let number = |field: &str| -> Result<u64> {
                let mut pairs = pairs.into_iter().flatten();
                let pair = pairs.find(|pair| pair.key.strip_prefix(KEY_PREFIX) == Some(field));
                let Some(value) = pair.and_then(|pair| pair.value.as_deref()) else { return Ok(0) };
                serde_json::from_str(value)
                    .with_context(|| format!("{field} of {}", path.display()))
            };
            account.seen += number("seen")?;
            account.written += number("written")?;
            account.counted += number("counted")?;
            account.lost += number("lost")?;
        }
        Ok(account)
    }

    /// Whether every reset is somewhere.
    pub fn is_even(&self) -> bool {
        self.seen == self.written + self.counted + self.lost
    }
}

/// The values that look like an address of the kernel, once each, in the text of all tables.
pub fn kernel_addresses(recording: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in parquet_files(recording)? {
        let table = path.strip_prefix(recording).ok().and_then(|path| path.iter().next());
        let table = table.unwrap_or_default().to_string_lossy();
        for (column, value) in rows_of(&path)?.into_iter().flatten() {
            if let Some(text) = value.as_str().filter(|text| has_address(text)) {
                found.push(format!("{table}.{column}: {text}"));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Addresses of the kernel are in the upper half of the address space.
fn has_address(text: &str) -> bool {
    text.to_ascii_lowercase().contains("0xffff")
}

/// The sealed files below a folder, which may be missing.
fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(parquet_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// A segment without rows.
    fn segment(path: &Path, footer: &[(&str, u64)]) -> Result<()> {
        let pair = |(field, value): &(&str, u64)| {
            KeyValue::new(format!("{KEY_PREFIX}{field}"), value.to_string())
        };
        let pairs = footer.iter().map(pair).collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
        let schema = Arc::new(parse_message_type("message resets { required int32 cpu; }")?);
        let file = File::create(path)?;
        SerializedFileWriter::new(file, schema, Arc::new(properties))?.close()?;
        Ok(())
    }

    #[test]
    fn footers_with_and_without_counted_resets_are_summed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let day = dir.path().join("resets/date=2026-11-30");
        fs::create_dir_all(&day)?;
        segment(&day.join("a.parquet"), &[("seen", 5), ("written", 4), ("lost", 1)])?;
        segment(&day.join("b.parquet"), &[("seen", 9), ("written", 2), ("counted", 7)])?;
        // Not a sealed segment of resets.
        fs::write(day.join("c.parquet.tmp"), "PAR1")?;
        let sum = Account { seen: 14, written: 6, counted: 7, lost: 1 };
        assert_eq!(Account::read(dir.path())?, sum);
        assert!(sum.is_even());
        Ok(())
    }

    #[test]
    fn an_account_is_even_if_every_reset_is_somewhere() {
        let account = Account { seen: 10, written: 6, counted: 3, lost: 1 };
        assert!(account.is_even());
        assert!(!Account { counted: 2, ..account }.is_even());
        assert!(!Account { seen: 9, ..account }.is_even());
    }

    #[test]
    fn an_address_of_the_kernel_is_found_in_a_stack() {
        assert!(has_address("__tcp_close;0xffffffffc0123456;tcp_send_active_reset"));
        assert!(has_address("0xFFFF888000000000"));
        assert!(!has_address("tcp_v4_rcv;0x7fff0000;fd00:ffff::1"));
    }
}
