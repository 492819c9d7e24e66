//! The line editor, and the file in which it remembers statements.

use std::io;
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::{Helper, Names};
use super::history;
use crate::error::Error;

const PROMPT: &str = "tcprst> ";

/// Asks the user for input.
pub(super) struct Prompt {
    editor: Editor<Helper, FileHistory>,
    history: Option<PathBuf>,
}

impl Prompt {
    pub(super) fn new(helper: Helper) -> Result<Self, Error> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_dups(true)
            .and_then(|config| config.max_history_size(10_000))
            .map_err(terminal)?
            .build();
        let mut editor = Editor::<Helper, FileHistory>::with_config(config).map_err(terminal)?;
        editor.set_helper(Some(helper));
        let history = history::path();
        if let Some(path) = &history {
            // Before the first session there is no history.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// The next input that is not empty; `None` after Ctrl-D.
    pub(super) fn read(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.editor.readline(PROMPT) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    self.remember(text.trim())?;
                    return Ok(Some(text.trim().to_owned()));
                }
                // Ctrl-C only clears the line.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(terminal(error)),
            }
        }
    }

    fn remember(&mut self, text: &str) -> Result<(), Error> {
        let is_new = self.editor.add_history_entry(text).map_err(terminal)?;
        if let Some(path) = self.history.as_ref().filter(|_| is_new) {
            // If the history cannot be written, such as on a full disk, the shell continues.
            let _ = history::prepare(path).and_then(|()| {
                self.editor
                    .append_history(path)
                    .map_err(|error| io::Error::other(error.to_string()))
            });
        }
        Ok(())
    }

    /// Replaces the names that Tab completes.
    pub(super) fn set_names(&mut self, names: Names) {
        if let Some(helper) = self.editor.helper_mut() {
            helper.set_names(names);
        }
    }
}

fn terminal(error: ReadlineError) -> Error {
    Error::Terminal(error.to_string())
}
