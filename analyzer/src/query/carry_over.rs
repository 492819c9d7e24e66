//! Carries tables and views that the user created over to the next session.

use datafusion::error::Result;
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;

use crate::error::CATALOG;

/// Copies each table and view that the new session lacks.
pub(super) async fn tables(from: &SessionContext, to: &SessionContext) -> Result<()> {
    let schema = |context: &SessionContext| context.catalog(CATALOG)?.schema("public");
    let (Some(old), Some(new)) = (schema(from), schema(to)) else {
        return Ok(());
    };
    let mut views = Vec::new();
    for name in old.table_names() {
        if new.table_exist(&name) {
            continue;
        }
        if let Some(table) = old.table(&name).await? {
            if table.table_type() == TableType::View {
                views.push((name, table));
            } else {
                new.register_table(name, table)?;
            }
        }
    }
    // A view refers to the tables it was created over, so create it again over the current tables.
    // It may use another view, which must be created first.
    while !views.is_empty() {
        let mut left = Vec::new();
        let tried = views.len();
        for (name, view) in views {
            let made = match view.get_table_definition() {
                Some(sql) => to.sql(sql).await.is_ok(),
                None => false,
            };
            if !made {
                left.push((name, view));
            }
        }
        if left.len() == tried {
            // Their sources are gone: keep the old views with the old sources.
            for (name, view) in left {
                new.register_table(name, view)?;
            }
            break;
        }
        views = left;
    }
    Ok(())
}
