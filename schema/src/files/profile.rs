//! Profiles: what resets have in common, as one number a row in place of 48 columns.
//!
//! The spool holds them so: the columns of [`crate::columns::OWN_COLUMNS`], and a dictionary whose
//! values are profiles, structs with a field for each other column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::take::take;

use crate::columns::{Column, Kind, columns_of};
use crate::row::Row;

/// Name of the column of profiles in a spool.
pub const PROFILE: &str = "profile";

fn field(column: &Column<Row>, data_type: fn(Kind) -> DataType) -> Field {
    Field::new(column.name, data_type(column.kind), column.nullable)
}

/// Schema of the columns that differ from reset to reset.
pub fn own_schema() -> SchemaRef {
    let fields = columns_of(true).map(|column| field(column, Kind::spool_type));
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// The other columns: the fields of a profile.
pub fn profile_fields() -> Fields {
    columns_of(false).map(|column| field(column, Kind::data_type)).collect()
}

/// Schema of a spool of `resets`.
pub fn packed_schema() -> SchemaRef {
    let values = DataType::Struct(profile_fields());
    let profile = DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    let own = own_schema();
    let own = own.fields().iter().map(Arc::clone);
    let fields = own.chain([Arc::new(Field::new(PROFILE, profile, false))]);
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// A batch of the spool: the columns of [`own_schema`], and for each row the number of its profile.
pub fn pack(
    own: &RecordBatch,
    numbers: &[u32],
    profiles: &Arc<StructArray>,
) -> Result<RecordBatch, ArrowError> {
    // Arrow checks that each number has its profile.
    let keys = Int32Array::from_iter_values(numbers.iter().map(|number| number.cast_signed()));
    let values: ArrayRef = Arc::clone(profiles) as ArrayRef;
    let profile = DictionaryArray::try_new(keys, values)?;
    let columns = own.columns().iter().cloned().chain([Arc::new(profile) as ArrayRef]);
    RecordBatch::try_new(packed_schema(), columns.collect())
}

/// A batch of a spool with a column for everything. One without profiles is from an older recorder,
/// and has them already.
pub fn unpack(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let Some((at, _)) = schema.column_with_name(PROFILE) else {
        return Ok(batch.clone());
    };
    let wrong = || ArrowError::SchemaError(format!("`{PROFILE}` has no profiles"));
    let profile = batch.column(at).as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    let values = profile.values().as_struct_opt().ok_or_else(wrong)?;
    let own: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != at).collect();
    spell_out(&batch.project(&own)?, profile.keys(), values)
}

/// Adds a column for each field of the profiles to rows that have these numbers.
pub fn spell_out(
    rows: &RecordBatch,
    numbers: &Int32Array,
    profiles: &StructArray,
) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().map(Arc::clone).collect();
    let mut columns = rows.columns().to_vec();
    for (field, values) in profiles.fields().iter().zip(profiles.columns()) {
        let column = match values.as_string_opt::<i32>() {
            Some(texts) => gather_text(texts, numbers)?,
            None => take(values, numbers, None)?,
        };
        let field = Field::new(field.name(), column.data_type().clone(), field.is_nullable());
        fields.push(Arc::new(field));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The text of each row's profile: each distinct text once, and numbers.
fn gather_text(texts: &StringArray, profiles: &Int32Array) -> Result<ArrayRef, ArrowError> {
    let mut numbers: HashMap<&str, i32> = HashMap::new();
    let mut distinct: Vec<&str> = Vec::new();
    let of_profile: Vec<Option<i32>> = texts
        .iter()
        .map(|text| {
            let text = text?;
            Some(*numbers.entry(text).or_insert_with(|| {
                distinct.push(text);
                (distinct.len() - 1) as i32
            }))
        })
        .collect();
    let keys: Int32Array = profiles
        .iter()
        .map(|profile| of_profile.get(profile?.cast_unsigned() as usize).copied().flatten())
        .collect();
    let values = Arc::new(StringArray::from(distinct));
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}
