//! The two ways to run an installation, so that one test holds both to the same promises. Knows where each keeps its things.

use std::path::{Path, PathBuf};

use super::Carillon;
#[cfg(feature = "cluster")]
use super::cluster;

/// How an installation is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    /// All roles in one process, engines embedded.
    Embedded,
    /// Two of each role, each a process, on Kafka and CQL.
    #[cfg(feature = "cluster")]
    Cluster,
}

/// Where an installation lives, and what of it must go in the end: directory, topics, keyspace.
pub(crate) struct Place {
    pub(crate) column: Column,
    dir: tempfile::TempDir,
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<cluster::Plan>,
}

/// Emits each of these tests, `async fn name(column: Column)`, once a column: `embedded::name` and, where the build has the
/// engines, `cluster::name`. Those in `one_after_the_other`, `async fn name(carillon: &Carillon)`, need an installation that runs
/// and leave it as it was: on the embedded column each gets its own, on the cluster, where a start costs more, all get one.
macro_rules! on_both_columns {
    ($([one_after_the_other: $($shared:ident),+ $(,)?])? $($name:ident),* $(,)?) => {
        mod embedded {
            $($(#[tokio::test]
            async fn $shared() {
                let place = crate::support::Column::Embedded.place();
                super::$shared(&place.start().await).await;
            })+)?
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Column::Embedded).await;
            })*
        }

        #[cfg(feature = "cluster")]
        mod cluster {
            $(#[tokio::test]
            async fn one_after_the_other() {
                let place = crate::support::Column::Cluster.place();
                let carillon = place.start().await;
                $(
                    println!("{}", stringify!($shared));
                    super::$shared(&carillon).await;
                    carillon.turn_page().await;
                )+
            })?
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Column::Cluster).await;
            })*
        }
    };
}
pub(crate) use on_both_columns;

impl Column {
    /// A place for one installation of its own.
    pub(crate) fn place(self) -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place {
            column: self,
            #[cfg(feature = "cluster")]
            cluster: (self == Column::Cluster).then(|| cluster::Plan::new(dir.path())),
            dir,
        }
    }

    /// The number for this column: what is done often in one process is done less often in seven.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables, reason = "this build has one column"))]
    pub(crate) fn rounds(self, embedded: usize, cluster: usize) -> usize {
        match self {
            Column::Embedded => embedded,
            #[cfg(feature = "cluster")]
            Column::Cluster => cluster,
        }
    }
}

impl Place {
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts an installation here and waits until it is ready.
    pub(crate) async fn start(&self) -> Carillon {
        self.start_with("").await
    }

    /// The same with these settings (TOML) over the usual ones.
    pub(crate) async fn start_with(&self, settings: &str) -> Carillon {
        #[cfg(feature = "cluster")]
        if let Some(plan) = &self.cluster {
            return plan.start(&self.data(), settings, cluster::Farms::Two).await;
        }
        Carillon::start_whole(&self.data(), settings).await
    }

    /// The same without anybody who drives the modems: see [`super::farm`].
    pub(crate) async fn start_without_farms(&self) -> Carillon {
        #[cfg(feature = "cluster")]
        if let Some(plan) = &self.cluster {
            return plan.start(&self.data(), "", cluster::Farms::None).await;
        }
        Carillon::start_whole(&self.data(), "[demo]\ndrive_modems = false\n").await
    }
}
