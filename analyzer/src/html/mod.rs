//! `report --html`: one self-contained page.
//!
//! SQL counts the recording into small tables ([`cube`], [`stacks`], [`peers`], [`coverage`]),
//! which the page gets as JSON ([`data`]); its script filters and draws them. Recorded text is
//! untrusted: [`text`] makes it visible, [`page`] embeds it where the browser reads it as data,
//! and the script inserts it into the page as text only.

mod batches;
mod causes;
mod coverage;
mod cube;
mod data;
mod dictionary;
mod page;
mod peers;
mod scale;
mod source;
mod stacks;
mod text;

pub(crate) use page::render;
pub(crate) use source::Source;

use crate::error::Error;
use crate::query::session::Session;
use crate::window::Window;

/// The whole page for a window of a recording.
pub(crate) async fn report(
    session: &Session,
    window: Window,
    title: &str,
) -> Result<String, Error> {
    let source = Source::new(session, window).await?;
    let data = data::gather(&source, title).await?;
    render(title, &data)
}
