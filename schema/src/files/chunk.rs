//! A column chunk of Parquet whose values are known once for each profile.
//!
//! The library's own writer hashes and compares the value of each row, 20 ns a column, for columns
//! in which a row only says which of some twenty values it has. Here the library encodes the
//! distinct values, and with them the dictionary page and the statistics; the data page, which says
//! for each row which of them it has, is made of the profiles' numbers. All rows of a row group are
//! one page: it is some kilobytes.

use std::collections::HashMap;
use std::hash::Hash;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::data_type::{self as types, ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::hybrid::{hybrid, run};

/// No value: null.
const NONE: u32 = u32::MAX;

/// The profiles of a row group's rows.
pub(crate) struct Profiles<'a> {
    /// For each row.
    numbers: &'a [u32],
    /// Those that occur, in the order in which they do.
    used: Vec<u32>,
    level: ZstdLevel,
    compressor: Compressor<'static>,
    /// Data pages so far, by which value each profile has. Many columns agree: the same profiles
    /// have a cause, a stack and a reason in common, or nothing at all.
    pages: HashMap<(Vec<u32>, bool), DataPage>,
}

#[derive(Clone)]
struct DataPage {
    compressed: Bytes,
    uncompressed: usize,
    nulls: u64,
}

impl<'a> Profiles<'a> {
    pub(crate) fn new(numbers: &'a [u32], level: ZstdLevel) -> Result<Self> {
        let mut used = Vec::new();
        let mut is_used = Vec::new();
        for number in numbers {
            let at = *number as usize;
            if at >= is_used.len() {
                is_used.resize(at + 1, false);
            }
            if !is_used[at] {
                is_used[at] = true;
                used.push(*number);
            }
        }
        let compressor = Compressor::new(level.compression_level())?;
        Ok(Self { numbers, used, level, compressor, pages: HashMap::new() })
    }

    /// Encodes a column of which `values` has the value of each profile: the bytes of the chunk, and
    /// what the file's footer says of it.
    pub(crate) fn encode(
        &mut self,
        column: &ColumnDescPtr,
        values: &ArrayRef,
        properties: &WriterPropertiesPtr,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let Distinct { of_used, places } = Distinct::of(values, &self.used)?;
        let (dictionary, data, described) = describe(column, values, &places, properties)?;
        let page = self.page(of_used, places.len(), column.max_def_level() > 0)?;
        let dictionary = self.compressed(dictionary)?;
        let compression = Compression::ZSTD(self.level);
        finish(self.numbers.len(), compression, dictionary, &data, described, &page)
    }

    fn compressed(&mut self, dictionary: Page) -> Result<CompressedPage> {
        let Page::DictionaryPage { buf, num_values, encoding, is_sorted } = dictionary else {
            return Err(ParquetError::General("not a dictionary".into()));
        };
        let uncompressed = buf.len();
        let buf = self.compressor.compress(&buf)?.into();
        let page = Page::DictionaryPage { buf, num_values, encoding, is_sorted };
        Ok(CompressedPage::new(page, uncompressed))
    }

    /// The data page of a column in which each used profile has the value of that number.
    fn page(&mut self, of_used: Vec<u32>, distinct: usize, nullable: bool) -> Result<DataPage> {
        let key = (of_used, nullable);
        if let Some(page) = self.pages.get(&key) {
            return Ok(page.clone());
        }
        let mut of_profile =
            vec![NONE; self.used.iter().max().map_or(0, |most| *most as usize + 1)];
        for (profile, value) in self.used.iter().zip(&key.0) {
            of_profile[*profile as usize] = *value;
        }
        let (mut present, mut levels) = (Vec::with_capacity(self.numbers.len()), Vec::new());
        let has_nulls = key.0.contains(&NONE);
        if has_nulls {
            levels.reserve(self.numbers.len());
            for number in self.numbers {
                let value = of_profile[*number as usize];
                levels.push(u32::from(value != NONE));
                if value != NONE {
                    present.push(value);
                }
            }
        } else {
            present.extend(self.numbers.iter().map(|number| of_profile[*number as usize]));
        }
        let mut bytes = Vec::new();
        if nullable {
            let mut encoded = Vec::new();
            match has_nulls {
                true => hybrid(&levels, 1, &mut encoded),
                false => run(1, self.numbers.len(), 1, &mut encoded),
            }
            bytes.extend((encoded.len() as u32).to_le_bytes());
            bytes.append(&mut encoded);
        }
        let width = (usize::BITS - distinct.saturating_sub(1).leading_zeros()) as u8;
        bytes.push(width);
        hybrid(&present, width, &mut bytes);
        let page = DataPage {
            compressed: self.compressor.compress(&bytes)?.into(),
            uncompressed: bytes.len(),
            nulls: (self.numbers.len() - present.len()) as u64,
        };
        self.pages.insert(key, page.clone());
        Ok(page)
    }
}

/// The distinct values of a column.
struct Distinct {
    /// For each used profile the number of its value, or [`NONE`].
    of_used: Vec<u32>,
    /// A profile that has the value, for each value.
    places: Vec<u32>,
}

impl Distinct {
    fn of(values: &ArrayRef, used: &[u32]) -> Result<Self> {
        if let Some(texts) = values.as_string_opt::<i32>() {
            return Ok(Self::number(used, |at| texts.is_valid(at).then(|| texts.value(at))));
        }
        if let Some(numbers) = values.as_primitive_opt::<Int32Type>() {
            return Ok(Self::number(used, |at| numbers.is_valid(at).then(|| numbers.value(at))));
        }
        if let Some(numbers) = values.as_primitive_opt::<Int64Type>() {
            return Ok(Self::number(used, |at| numbers.is_valid(at).then(|| numbers.value(at))));
        }
        Err(ParquetError::NYI(format!("a profile's column of {}", values.data_type())))
    }

    fn number<T: Eq + Hash>(used: &[u32], value: impl Fn(usize) -> Option<T>) -> Self {
        let mut numbers: HashMap<T, u32> = HashMap::new();
        let mut places = Vec::new();
        let of_used = used
            .iter()
            .map(|profile| match value(*profile as usize) {
                None => NONE,
                Some(value) => *numbers.entry(value).or_insert_with(|| {
                    places.push(*profile);
                    (places.len() - 1) as u32
                }),
            })
            .collect();
        Self { of_used, places }
    }
}

/// Takes the pages that the library makes.
struct Pages<'a>(&'a mut Vec<CompressedPage>);

impl PageWriter for Pages<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let mut spec = PageWriteSpec::new();
        spec.page_type = page.page_type();
        spec.num_values = page.num_values();
        self.0.push(page);
        Ok(spec)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The dictionary page, a data page of one row for each value, and the statistics.
fn describe(
    column: &ColumnDescPtr,
    values: &ArrayRef,
    places: &[u32],
    properties: &WriterPropertiesPtr,
) -> Result<(Page, Page, ColumnCloseResult)> {
    let mut pages = Vec::new();
    let sink = Box::new(Pages(&mut pages));
    let writer = get_column_writer(column.clone(), properties.clone(), sink);
    let described = write_distinct(writer, column.max_def_level() > 0, values, places)?;
    let is_dictionary = |page: &CompressedPage| page.page_type() == PageType::DICTIONARY_PAGE;
    let (mut dictionary, mut data): (Vec<_>, Vec<_>) = pages.into_iter().partition(is_dictionary);
    match (dictionary.pop(), data.pop()) {
        (Some(dictionary), Some(page)) if data.is_empty() => {
            let page_of = |page: CompressedPage| page.compressed_page().clone();
            Ok((page_of(dictionary), page_of(page), described))
        }
        _ => Err(ParquetError::General("a dictionary in several pages".into())),
    }
}

fn write_distinct(
    writer: ColumnWriter<'_>,
    nullable: bool,
    values: &ArrayRef,
    places: &[u32],
) -> Result<ColumnCloseResult> {
    // Without any value a null, so that there is a page.
    let levels = if places.is_empty() { vec![0] } else { vec![1; places.len()] };
    let levels = nullable.then_some(&levels[..]);
    let places = places.iter().map(|place| *place as usize);
    match writer {
        ColumnWriter::ByteArrayColumnWriter(mut writer) => {
            let texts = values.as_string::<i32>();
            let values: Vec<ByteArray> = places.map(|at| texts.value(at).into()).collect();
            writer.write_batch(&values, levels, None)?;
            writer.close()
        }
        ColumnWriter::Int32ColumnWriter(mut writer) => {
            let numbers = values.as_primitive::<Int32Type>();
            let values: Vec<i32> = places.map(|at| numbers.value(at)).collect();
            writer.write_batch(&values, levels, None)?;
            writer.close()
        }
        ColumnWriter::Int64ColumnWriter(mut writer) => {
            let numbers = values.as_primitive::<Int64Type>();
            let values: Vec<i64> = places.map(|at| numbers.value(at)).collect();
            writer.write_batch(&values, levels, None)?;
            writer.close()
        }
        _ => Err(ParquetError::NYI("a profile's column of another type".into())),
    }
}

/// Writes both pages and completes the description.
fn finish(
    rows: usize,
    compression: Compression,
    dictionary: CompressedPage,
    of_values: &Page,
    described: ColumnCloseResult,
    page: &DataPage,
) -> Result<(Bytes, ColumnCloseResult)> {
    let encoding = of_values.encoding();
    let encodings = vec![dictionary.encoding(), Encoding::RLE, encoding];
    let page_encodings = vec![
        PageEncodingStats {
            page_type: PageType::DICTIONARY_PAGE,
            encoding: dictionary.encoding(),
            count: 1,
        },
        PageEncodingStats { page_type: PageType::DATA_PAGE, encoding, count: 1 },
    ];
    let data = Page::DataPage {
        buf: page.compressed.clone(),
        num_values: rows as u32,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let mut bytes = TrackedWrite::new(Vec::new());
    let mut writer = SerializedPageWriter::new(&mut bytes);
    let first = writer.write_page(dictionary)?;
    let second = writer.write_page(CompressedPage::new(data, page.uncompressed))?;
    let bytes = Bytes::from(bytes.into_inner()?);

    let statistics = with_nulls(described.metadata.statistics(), page.nulls);
    let column_type = described.metadata.column_type();
    let mut column_index = ColumnIndexBuilder::new(column_type);
    let bound = |bound: Option<&[u8]>| bound.unwrap_or_default().to_vec();
    let (min, max) = match &statistics {
        Some(statistics) => (bound(statistics.min_bytes_opt()), bound(statistics.max_bytes_opt())),
        None => (Vec::new(), Vec::new()),
    };
    column_index.append(page.nulls == rows as u64, min, max, page.nulls as i64);
    let mut offset_index = OffsetIndexBuilder::new();
    offset_index.append_row_count(rows as i64);
    offset_index.append_offset_and_size(second.offset as i64, second.compressed_size as i32);
    let mut metadata = described
        .metadata
        .into_builder()
        .set_compression(compression)
        .set_encodings(encodings)
        .set_page_encoding_stats(page_encodings)
        .set_num_values(rows as i64)
        .set_total_compressed_size((first.compressed_size + second.compressed_size) as i64)
        .set_total_uncompressed_size((first.uncompressed_size + second.uncompressed_size) as i64)
        .set_dictionary_page_offset(Some(first.offset as i64))
        .set_data_page_offset(second.offset as i64)
        .set_unencoded_byte_array_data_bytes(None)
        .set_repetition_level_histogram(None)
        .set_definition_level_histogram(None);
    if let Some(statistics) = statistics {
        metadata = metadata.set_statistics(statistics);
    }
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: rows as u64,
        metadata: metadata.build()?,
        bloom_filter: None,
        column_index: Some(column_index.build()?),
        offset_index: Some(offset_index.build()),
    };
    Ok((bytes, close))
}

/// The same bounds, with the number of nulls among the rows.
fn with_nulls(statistics: Option<&Statistics>, nulls: u64) -> Option<Statistics> {
    fn again<T: DataType>(statistics: &ValueStatistics<T::T>, nulls: u64) -> ValueStatistics<T::T> {
        let (min, max) = (statistics.min_opt().cloned(), statistics.max_opt().cloned());
        ValueStatistics::new(min, max, None, Some(nulls), false)
            .with_min_is_exact(statistics.min_is_exact())
            .with_max_is_exact(statistics.max_is_exact())
    }
    Some(match statistics? {
        Statistics::Int32(statistics) => {
            Statistics::Int32(again::<types::Int32Type>(statistics, nulls))
        }
        Statistics::Int64(statistics) => {
            Statistics::Int64(again::<types::Int64Type>(statistics, nulls))
        }
        Statistics::ByteArray(statistics) => {
            Statistics::ByteArray(again::<types::ByteArrayType>(statistics, nulls))
        }
        _ => return None,
    })
}
