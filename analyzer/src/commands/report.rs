//! `tcprst-analyze report`: everything on one page, for people without a terminal.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::commands::Context;
use crate::error::Error;
use crate::html;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the page is written, in one step when it is whole; `-` is stdout
    #[arg(long, value_name = "FILE", required = true)]
    pub html: PathBuf,

    /// Title of the page
    #[arg(long, value_name = "TEXT", default_value = "TCP resets")]
    pub title: String,
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let page = html::report(context.session, context.window, &args.title).await?;
    if args.html == Path::new("-") {
        context.out.write_all(page.as_bytes()).map_err(Error::Output)?;
    } else {
        html::write(&args.html, &page)?;
    }
    Ok(Outcome::Complete)
}
