//! DataFusion, set up for a recording: its options, its memory and the files it may use.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::{CATALOG, Error};
use crate::query::dictionary::{GroupByNumber, SpellOut};
use crate::query::rollup::AnswerFromRollup;

mod guard;
mod memory;
mod options;
mod pool;

pub(crate) use guard::RecordedFolders;
pub(crate) use options::EngineOptions;

/// The parts that all sessions of a process share: one memory limit, one folder to spill to.
#[derive(Debug)]
pub(crate) struct Engine {
    options: EngineOptions,
    env: Arc<RuntimeEnv>,
    recorded: RecordedFolders,
    /// Whether rollups may answer counts.
    use_rollup: bool,
}

impl Engine {
    pub(crate) fn new(
        options: &EngineOptions,
        dirs: &[PathBuf],
        use_rollup: bool,
    ) -> Result<Self, Error> {
        let mut builder = RuntimeEnvBuilder::new();
        let limit = match options.memory_limit {
            Some(size) => usize::try_from(size.as_u64()).ok(),
            None => memory::free().map(|free| free / 4 * 3),
        };
        if let Some(limit) = limit {
            builder = builder.with_memory_pool(Arc::new(pool::Pool::new(limit)));
        }
        if let Some(dir) = &options.spill_dir {
            let failed = |source| Error::SpillDir { path: dir.clone(), source };
            if !std::fs::metadata(dir).map_err(failed)?.is_dir() {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            builder = builder.with_temp_file_path(dir);
        }
        let env = builder.build_arc().map_err(|error| match (error, &options.spill_dir) {
            (DataFusionError::IoError(source), Some(dir)) => {
                Error::SpillDir { path: dir.clone(), source }
            }
            (error, _) => error.into(),
        })?;
        let recorded = RecordedFolders::new(dirs);
        if options.allow_files {
            let store = Arc::new(guard::Guarded::new(recorded.clone()));
            env.register_object_store(ObjectStoreUrl::local_filesystem().as_ref(), store);
        }
        Ok(Self { options: options.clone(), env, recorded, use_rollup })
    }

    /// Whether SQL may use files other than the recording, and change the session.
    pub(crate) fn allows_files(&self) -> bool {
        self.options.allow_files
    }

    /// The folders of the recording, which are never changed.
    pub(crate) fn recorded(&self) -> &RecordedFolders {
        &self.recorded
    }

    /// Folders that this process created to spill to.
    pub(crate) fn spilled_to(&self) -> Vec<PathBuf> {
        self.env.disk_manager.temp_dir_paths()
    }

    /// The options of a new session.
    pub(crate) fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, "public");
        if let Some(threads) = self.options.threads {
            config = config.with_target_partitions(threads.get());
        }
        // Recorded times are UTC; `now()` and times without a zone must compare with them.
        config.options_mut().execution.time_zone = Some("UTC".to_owned());
        // Work per dictionary is done once per batch, so fewer batches are cheaper.
        config = config.with_batch_size(32 * 1024);
        config.options_mut().execution.parquet.reorder_filters = true;
        // DataFusion 55 skips rows by the bound of one min or max although another one has an
        // expression as its argument: `select max(seq), min(seq + 1)` would be wrong.
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        config
    }

    /// A session without tables.
    pub(crate) fn context(&self, config: SessionConfig) -> SessionContext {
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.env))
            .with_default_features()
            .with_analyzer_rule(Arc::new(SpellOut))
            .with_physical_optimizer_rule(Arc::new(GroupByNumber));
        if self.use_rollup {
            state = state.with_optimizer_rule(Arc::new(AnswerFromRollup));
        }
        let context = SessionContext::new_with_state(state.build());
        if self.allows_files() { context.enable_url_table() } else { context }
    }
}
