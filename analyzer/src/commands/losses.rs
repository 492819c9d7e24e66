//! `tcprst-analyze losses`: what was seen and not recorded.

use crate::Outcome;
use crate::commands::Context;
use crate::error::Error;

const SQL: &str = include_str!("../reports/losses.sql");

#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

pub async fn run(_: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let format = context.format();
    context.session.run_sql(SQL, format, context.out).await?;
    Ok(Outcome::Complete)
}
