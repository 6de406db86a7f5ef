//! The processes that send: this one, or several that share the streams and tell this one what came of it.
//!
//! Knows how a job and its outcome travel between processes; must not know what a phase is for.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cpu::CpuClock;
use crate::options::Target;
use crate::plan::{Plan, Share};
use crate::progress::Progress;
use crate::scenario::Stream;
use crate::send::{self, Fate, Sent};

/// How long all processes of a crew have to get up before they begin together.
const GET_UP: Duration = Duration::from_millis(500);

/// What one process is to send.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) streams: Vec<Order>,
    pub(crate) share: Share,
    /// Milliseconds since 1970.
    begins_at: u64,
}

/// One stream of it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) stream: Stream,
    /// Instead of the stream's own.
    pub(crate) rate: Option<f64>,
    pub(crate) run: String,
    pub(crate) target: Target,
}

impl Order {
    pub(crate) fn plan(&self, share: Share) -> Plan {
        Plan::of(&self.stream, self.rate, &self.target.numbers, &self.run, share)
    }
}

/// What came of all streams, in their order, and what sending took of the processor.
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Sent>,
    /// From the beginning to the last answer of each stream.
    pub(crate) sending: Vec<Duration>,
    pub(crate) began_at: SystemTime,
    pub(crate) cpu: Duration,
}

/// Has so many processes send the streams, and one more for each stream that is sent apart.
pub(crate) async fn send(streams: Vec<Order>, processes: u32, progress: &Progress) -> anyhow::Result<Outcome> {
    let parts = parts(&streams, processes);
    let began_at = SystemTime::now() + if parts.len() > 1 { GET_UP } else { Duration::ZERO };
    let job = |part: &Part| Job {
        streams: part.streams.iter().map(|stream| streams[*stream].clone()).collect(),
        share: part.share,
        begins_at: millis(began_at),
    };
    let until = began_at.duration_since(SystemTime::now()).unwrap_or_default();
    let began = Instant::now() + until;
    if let [part] = &parts[..] {
        let before = CpuClock::own()?;
        let (sent, sending) = work(&job(part), progress, began).await?.into_iter().unzip();
        let cpu = CpuClock::own()?.saturating_sub(before);
        return Ok(Outcome { sent, sending, began_at, cpu });
    }
    let told = try_join_all(parts.iter().map(|part| hire(job(part)))).await?;
    let mut all = Outcome { sent: Vec::new(), sending: Vec::new(), began_at, cpu: Duration::ZERO };
    for _ in &streams {
        all.sent.push(Sent::new()?);
        all.sending.push(Duration::ZERO);
    }
    for (part, told) in parts.iter().zip(told) {
        ensure!(told.streams.len() == part.streams.len(), "a process of the loader told of other streams");
        all.cpu += Duration::from_secs_f64(told.cpu_seconds);
        for (told, stream) in told.streams.into_iter().zip(&part.streams) {
            let sending = &mut all.sending[*stream];
            *sending = (*sending).max(Duration::from_secs_f64(told.sending_seconds));
            told.add_to(&mut all.sent[*stream])?;
        }
    }
    Ok(all)
}

/// What a process sends: some of the streams, and its share of each.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    streams: Vec<usize>,
    share: Share,
}

fn parts(streams: &[Order], processes: u32) -> Vec<Part> {
    let (apart, shared): (Vec<usize>, Vec<usize>) = (0..streams.len()).partition(|index| streams[*index].stream.apart);
    let processes = if shared.is_empty() { 0 } else { processes };
    let shared = (0..processes).map(|part| Part { streams: shared.clone(), share: Share { part, of: processes } });
    let apart = apart.into_iter().map(|stream| Part { streams: vec![stream], share: Share::WHOLE });
    shared.chain(apart).collect()
}

/// All streams of a job at once, in this process, each with the time it took.
async fn work(job: &Job, progress: &Progress, began: Instant) -> anyhow::Result<Vec<(Sent, Duration)>> {
    tokio::time::sleep_until(began.into()).await;
    let streams = job.streams.iter().map(async |order| {
        let plan = order.plan(job.share);
        let sent = send::send_all(&plan, &order.target, None, progress, began).await?;
        Ok((sent, began.elapsed()))
    });
    join_all(streams).await.into_iter().collect()
}

/// Starts a process of this program, gives it its job, and hears what came of it.
async fn hire(job: Job) -> anyhow::Result<Told> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("part").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start a process of the loader")?;
    let mut stdin = child.stdin.take().context("it has no standard input")?;
    stdin.write_all(&serde_json::to_vec(&job)?).await.context("cannot give a process of the loader its job")?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "a process of the loader ended with `{}`", output.status);
    serde_json::from_slice(&output.stdout).context("a process of the loader is not understood")
}

/// What a hired process does: reads its job, does it, and tells.
pub(crate) async fn part() -> anyhow::Result<()> {
    let job: Job = serde_json::from_reader(std::io::stdin().lock()).context("no job")?;
    let begins_at = UNIX_EPOCH + Duration::from_millis(job.begins_at);
    let began = Instant::now() + begins_at.duration_since(SystemTime::now()).unwrap_or_default();
    let done = work(&job, &Progress::none(), began).await?;
    let streams = done.iter().map(|(sent, sending)| ToldStream::new(sent, *sending)).collect();
    let told = Told { streams, cpu_seconds: CpuClock::own()?.as_secs_f64() };
    serde_json::to_writer(std::io::stdout().lock(), &told).context("cannot tell")
}

#[derive(Deserialize, Serialize)]
struct Told {
    streams: Vec<ToldStream>,
    cpu_seconds: f64,
}

/// A histogram travels as its values with their counts.
type Counts = Vec<(u64, u64)>;

#[derive(Deserialize, Serialize)]
struct ToldStream {
    sending_seconds: f64,
    accepted: Vec<(u64, Option<Box<str>>)>,
    failed: Vec<u64>,
    busy: u64,
    reconnected: u64,
    failures: BTreeMap<String, u64>,
    latency: Counts,
    /// Accepted, refused, latency.
    seconds: Vec<(u64, u64, Counts)>,
}

impl ToldStream {
    fn new(sent: &Sent, sending: Duration) -> Self {
        let fates = || (0_u64..).zip(&sent.fates);
        let counts =
            |value: &hdrhistogram::iterators::IterationValue<u64>| (value.value_iterated_to(), value.count_at_value());
        let counts_small = |value: &hdrhistogram::iterators::IterationValue<u32>| {
            (value.value_iterated_to(), u64::from(value.count_at_value()))
        };
        Self {
            sending_seconds: sending.as_secs_f64(),
            accepted: fates()
                .filter_map(|(index, fate)| match fate {
                    Fate::Accepted(id) => Some((index, id.clone())),
                    _ => None,
                })
                .collect(),
            failed: fates().filter(|(_, fate)| **fate == Fate::Failed).map(|(index, _)| index).collect(),
            busy: sent.busy,
            reconnected: sent.reconnected,
            failures: sent.failures.clone(),
            latency: sent.latency.iter_recorded().map(|value| counts(&value)).collect(),
            seconds: sent
                .timeline
                .seconds
                .iter()
                .map(|second| {
                    let latency = second.latency.iter_recorded().map(|value| counts_small(&value)).collect();
                    (second.accepted, second.refused, latency)
                })
                .collect(),
        }
    }

    fn add_to(self, sent: &mut Sent) -> anyhow::Result<()> {
        self.accepted.into_iter().for_each(|(index, id)| sent.end(index, Fate::Accepted(id)));
        self.failed.into_iter().for_each(|index| sent.end(index, Fate::Failed));
        sent.busy += self.busy;
        sent.reconnected += self.reconnected;
        for (reason, count) in self.failures {
            *sent.failures.entry(reason).or_default() += count;
        }
        for (value, count) in self.latency {
            sent.latency.record_n(value, count)?;
        }
        for (second, (accepted, refused, latency)) in (0..).zip(self.seconds) {
            let ours = sent.timeline.at(second);
            ours.accepted += accepted;
            ours.refused += refused;
            for (value, count) in latency {
                ours.latency.record_n(value, u32::try_from(count)?)?;
            }
        }
        Ok(())
    }
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_apart_has_a_process_of_its_own() {
        let order = |apart| Order {
            stream: Stream { apart, ..Stream::default() },
            rate: None,
            run: String::new(),
            target: Target::default(),
        };
        let whole = |stream| Part { streams: vec![stream], share: Share::WHOLE };
        assert_eq!(parts(&[order(false)], 1), [whole(0)]);
        assert_eq!(parts(&[order(true)], 3), [whole(0)]);
        let shared = |part| Part { streams: vec![0, 2], share: Share { part, of: 2 } };
        assert_eq!(parts(&[order(false), order(true), order(false)], 2), [shared(0), shared(1), whole(1)]);
    }

    #[test]
    fn what_a_process_tells_is_added() {
        let mut one = Sent::new().unwrap();
        one.end(3, Fate::Accepted(Some("msg_1".into())));
        one.end(1, Fate::Failed);
        one.busy = 2;
        one.failures.insert("422".to_owned(), 1);
        one.latency.record(1_234).unwrap();
        one.timeline.at(4).accepted = 1;
        one.timeline.at(4).took(1_234);
        let told = serde_json::to_vec(&ToldStream::new(&one, Duration::from_secs(2))).unwrap();
        let mut sum = Sent::new().unwrap();
        sum.end(0, Fate::Accepted(None));
        for _ in 0..2 {
            serde_json::from_slice::<ToldStream>(&told).unwrap().add_to(&mut sum).unwrap();
        }
        let expected = [Fate::Accepted(None), Fate::Failed, Fate::Unsent, Fate::Accepted(Some("msg_1".into()))];
        assert_eq!((sum.fates.as_slice(), sum.busy, sum.begun()), (&expected[..], 4, 3));
        assert_eq!((sum.latency.len(), sum.timeline.seconds[4].accepted), (2, 2));
        assert_eq!(sum.latency.max(), one.latency.max());
    }
}
