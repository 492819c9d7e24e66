//! What the user has made in a session goes on in the next.

use datafusion::error::Result;
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;

use crate::error::CATALOG;

/// Takes over each table and view that the new session does not have by itself.
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
    // A view holds on to the tables that it was made over: it is made again, over those of now.
    // It may look at another view, which then comes first.
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
            // Over something that is gone. It goes on over what was there.
            for (name, view) in left {
                new.register_table(name, view)?;
            }
            break;
        }
        views = left;
    }
    Ok(())
}
