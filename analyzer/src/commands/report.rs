//! `tcprst-analyze report`: one HTML page, for people without a terminal.

use std::path::{Path, PathBuf};

use super::Context;
use crate::error::Error;
use crate::html;
use crate::outcome::Outcome;
use crate::output::file;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// File to write, replaced in one step when the page is complete; `-` is stdout
    #[arg(long, value_name = "FILE", required = true)]
    pub html: PathBuf,

    /// Title of the page
    #[arg(long, value_name = "TEXT", default_value = "TCP resets")]
    pub title: String,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let page = html::report(context.session, context.request.window, &args.title).await?;
    if args.html == Path::new("-") {
        context.out.write_all(page.as_bytes()).map_err(Error::Output)?;
    } else {
        file::write(&args.html, page.as_bytes())?;
    }
    Ok(Outcome::Complete)
}
