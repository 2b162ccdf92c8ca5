//! `trestle demo`: the bridge, a fake WhatsApp relay and a fake SIP phone in one process, over real sockets on the
//! loopback, with real speech. It shows what happens as it happens, and reports whether the bridge is good.

mod call;
mod drive;
mod hearing;
mod picture;
mod scene;
mod screen;
mod tell;
mod timeline;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::meta_sim::wav;
use anyhow::Context;
use trestle_peers::{Codec, Flavour};

use call::DemoCall;
use drive::DemoBridge;
use hearing::Hearing;
use scene::{CallDirection, DemoParty, DemoScript, Scene};
use screen::Screen;
use verdict::Fault;

/// Brief calls begin that long after each other, so that twelve handshakes do not wait for one another.
const STAGGER: Duration = Duration::from_millis(200);

/// Shows whether the bridge is good: calls in both directions, with speech and digits, between a fake WhatsApp and a fake
/// phone.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Length of the two full calls.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(6..=100))]
    seconds: u64,

    /// Only the brief calls: every combination, all at once.
    #[arg(long)]
    quick: bool,

    /// How many of a hundred media packets the network loses on the way to Trestle.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    loss: u32,

    /// Where recordings and pictures are written.
    #[arg(long, value_name = "DIR", default_value = "trestle-demo")]
    out: PathBuf,
}

/// A call that is over, and the judgement on it.
struct JudgedCall {
    call: DemoCall,
    /// The phone's, then WhatsApp's.
    hearings: [Hearing; 2],
    faults: Vec<Fault>,
}

impl JudgedCall {
    fn new(call: DemoCall) -> Self {
        let hearings = [DemoParty::Phone, DemoParty::WhatsApp].map(|listener| Hearing::of(&call, listener));
        let faults =
            verdict::judge(call.outcome.failure.as_deref(), &call.meta.report(), call.scene.flavour, &hearings);
        Self { call, hearings, faults }
    }
}

/// Does it. The exit code is 0 only if the bridge is good.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new();
    let mut stage = DemoBridge::open()?;
    tell::opening(&screen, stage.ng_addr());
    let mut judged = Vec::new();
    if !args.quick {
        std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
        for direction in [CallDirection::UserInitiated, CallDirection::BusinessInitiated] {
            let scene = Scene { direction, flavour: Flavour::WebRtc, codec: Codec::Pcma };
            judged.push(full_call(&mut stage, &mut screen, scene, args)?);
        }
    }
    judged.extend(brief_calls(&mut stage, &mut screen, args)?);
    stage.close();
    let good = tell::verdict(&screen, &judged);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn full_call(stage: &mut DemoBridge, screen: &mut Screen, scene: Scene, args: &DemoArgs) -> anyhow::Result<JudgedCall> {
    tell::call_begins(screen, scene);
    let script = DemoScript::full(Duration::from_secs(args.seconds)).with_loss(args.loss);
    let calls = stage.play(&[scene], &script, Duration::ZERO, |now, calls| {
        for call in calls {
            while let Some(moment) = call.timeline.poll() {
                tell::moment(screen, &moment);
            }
            if let Some(talked) = call.talked(now).filter(|_| !call.is_over()) {
                screen.progress(talked, call.script.length, &tell::packets(call));
            }
        }
    })?;
    screen.end_progress();
    let call = calls.into_iter().next().context("the stage lost the call")?;
    let judged = JudgedCall::new(call);
    tell::account(screen, &judged.call);
    tell::hearings(screen, &judged);
    let written = write_files(&args.out, &judged)?;
    tell::files(screen, &written);
    tell::call_verdict(screen, &judged);
    Ok(judged)
}

fn brief_calls(stage: &mut DemoBridge, screen: &mut Screen, args: &DemoArgs) -> anyhow::Result<Vec<JudgedCall>> {
    let scenes = Scene::all();
    let script = DemoScript::brief().with_loss(args.loss);
    tell::brief_begin(screen, scenes.len(), script.length);
    let length = script.length + STAGGER * scenes.len() as u32;
    let mut begun = None;
    let calls = stage.play(&scenes, &script, STAGGER, |now, calls| {
        let talking = calls.iter().filter(|call| call.talked(now).is_some() && !call.is_over()).count();
        let since = *begun.get_or_insert(now);
        screen.progress(now.saturating_duration_since(since), length, &format!("{talking} calls at once"));
    })?;
    screen.end_progress();
    let judged: Vec<JudgedCall> = calls.into_iter().map(JudgedCall::new).collect();
    judged.iter().for_each(|judged| tell::brief_call(screen, judged));
    Ok(judged)
}

/// Two recordings and a picture; gives their names.
fn write_files(out: &Path, judged: &JudgedCall) -> anyhow::Result<Vec<PathBuf>> {
    let direction = match judged.call.scene.direction {
        CallDirection::UserInitiated => "user-initiated",
        CallDirection::BusinessInitiated => "business-initiated",
    };
    let mut written = Vec::new();
    for (listener, name) in [(DemoParty::Phone, "phone"), (DemoParty::WhatsApp, "whatsapp")] {
        if let Some(track) = hearing::received_by(&judged.call, listener) {
            let path = out.join(format!("{direction}.{name}-received.wav"));
            wav::write(&path, &track.pcm, track.sample_hz)?;
            written.push(path);
        }
    }
    let path = out.join(format!("{direction}.svg"));
    picture::draw(&path, judged)?;
    written.push(path);
    Ok(written)
}
