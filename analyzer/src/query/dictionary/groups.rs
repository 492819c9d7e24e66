//! Numbers for values and for combinations of values.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;

use super::pairs::Pairs;
use super::values::Values;
use crate::recording::types::text_type;

/// Marks a value that has no number yet.
pub(super) const NONE: u32 = u32::MAX;

/// Whether groups by these expressions can be numbered and numbering is faster.
pub(super) fn can_number(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Result<bool> {
    let types = exprs.iter().map(|expr| expr.data_type(schema)).collect::<Result<Vec<_>>>()?;
    let is_text = |data_type: &DataType| *data_type == text_type();
    Ok(types.iter().any(is_text) && types.iter().all(|t| is_text(t) || is_number(t)))
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Boolean
            | DataType::Timestamp(..)
    )
}

/// The groups found so far.
pub(super) struct Groups {
    columns: Vec<Values>,
    /// One entry fewer than `columns`.
    pairs: Vec<Pairs>,
    /// With one column: the group of each value number.
    alone: Vec<u32>,
    /// With one column: the value number of each group.
    singles: Vec<u32>,
    scratch: Vec<u32>,
}

impl Groups {
    pub(super) fn new(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Result<Self> {
        let columns = exprs
            .iter()
            .map(|expr| Ok(Values::new(expr.data_type(schema)?)))
            .collect::<Result<Vec<_>>>()?;
        let pairs = (1..columns.len()).map(|_| Pairs::default()).collect();
        let (alone, singles, scratch) = Default::default();
        Ok(Self { columns, pairs, alone, singles, scratch })
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.last().map_or(self.singles.len(), |pairs| pairs.parts.len())
    }

    /// Sets `numbers` to the group of each row.
    pub(super) fn number(&mut self, keys: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<()> {
        numbers.clear();
        let Some((first, others)) = keys.split_first() else {
            return Err(DataFusionError::Internal("no group".into()));
        };
        self.columns[0].number(first, &mut self.scratch)?;
        if others.is_empty() {
            let numbered = self.columns[0].count();
            self.alone.resize(numbered.max(self.alone.len()), NONE);
            for number in &self.scratch {
                let group = &mut self.alone[*number as usize];
                if *group == NONE {
                    *group = as_number(self.singles.len())?;
                    self.singles.push(*number);
                }
                numbers.push(*group as usize);
            }
            return Ok(());
        }
        let mut column = Vec::new();
        for (at, key) in others.iter().enumerate() {
            self.columns[at + 1].number(key, &mut column)?;
            let widest = self.columns[at + 1].count();
            self.pairs[at].number(&mut self.scratch, &column, widest)?;
        }
        numbers.extend(self.scratch.iter().map(|group| *group as usize));
        Ok(())
    }

    /// The columns of all groups; resets the state.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let mut numbers: Vec<Vec<u32>> = Vec::with_capacity(self.columns.len());
        let mut prefix: Vec<u32> = match self.pairs.last() {
            Some(pairs) => (0..pairs.parts.len()).map(as_number).collect::<Result<_>>()?,
            None => std::mem::take(&mut self.singles),
        };
        for pairs in self.pairs.iter().rev() {
            numbers.push(prefix.iter().map(|at| pairs.parts[*at as usize].1).collect());
            prefix = prefix.iter().map(|at| pairs.parts[*at as usize].0).collect();
        }
        numbers.push(prefix);
        numbers.reverse();
        let columns = self.columns.iter_mut().zip(numbers).map(|(values, of)| values.take(&of));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        self.pairs.iter_mut().for_each(|pairs| *pairs = Pairs::default());
        self.alone.clear();
        self.singles.clear();
        Ok(columns)
    }

    pub(super) fn size(&self) -> usize {
        let columns: usize = self.columns.iter().map(Values::size).sum();
        let pairs: usize = self.pairs.iter().map(Pairs::size).sum();
        columns + pairs + (self.alone.capacity() + self.singles.capacity()) * size_of::<u32>()
    }
}

pub(super) fn as_number(at: usize) -> Result<u32> {
    u32::try_from(at)
        .ok()
        .filter(|number| *number != NONE)
        .ok_or_else(|| DataFusionError::ResourcesExhausted("more than 2^32 groups".into()))
}
