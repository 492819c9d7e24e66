//! What follows `tcprst-analyze`: a module a subcommand, with its arguments and what it does.
//!
//! To add one: a module here, a variant in [`crate::cli::Command`], a line in [`run`].

pub mod files;
pub mod losses;
pub mod schema;

use std::io::Write;

use crate::Outcome;
use crate::cli::{Cli, Command, Format};
use crate::error::Error;
use crate::session::Session;

/// What every command has at hand.
#[expect(missing_debug_implementations, reason = "the output is any writer")]
pub struct Context<'a> {
    pub cli: &'a Cli,
    pub session: &'a Session,
    pub out: &'a mut dyn Write,
}

impl Context<'_> {
    pub fn format(&self) -> Format {
        self.cli.format
    }
}

/// Does what a command asks for, on an open recording.
pub async fn run(command: &Command, context: &mut Context<'_>) -> Result<Outcome, Error> {
    match command {
        Command::Schema(args) => schema::run(args, context.format(), context.out),
        Command::Files(args) => files::run(args, context).await,
        Command::Losses(args) => losses::run(args, context).await,
    }
}
