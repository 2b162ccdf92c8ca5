//! One picture of a call: how it was set up, the sent and received audio on one time axis, and how evenly packets came.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::JudgedCall;
use super::hearing::{self, Track};
use super::scene::DemoParty;
use super::tell::{self, ms};
use super::timeline::{DemoMoment, MomentKind};

const SIZE: (u32, u32) = (1_200, 1_068);
const HEADER: i32 = 84;
const STEP_ROW: i32 = 23;
const WAVES: i32 = 245;
const LABELS_LEFT: u32 = 92;

const INK: RGBColor = RGBColor(38, 44, 52);
const FAINT: RGBColor = RGBColor(222, 226, 231);
const SPOKEN: RGBColor = RGBColor(158, 166, 176);
const PHONE: RGBColor = RGBColor(31, 105, 179);
const WHATSAPP: RGBColor = RGBColor(24, 140, 82);
const DIGIT: RGBColor = RGBColor(214, 112, 20);
const BAD: RGBColor = RGBColor(190, 30, 45);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What goes wrong while drawing has a type without a public name.
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Draws the call as SVG.
pub(crate) fn draw(path: &Path, judged: &JudgedCall) -> anyhow::Result<()> {
    paint(path, judged).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn paint(path: &Path, judged: &JudgedCall) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let moments = judged.call.timeline.moments();
    let steps: Vec<&DemoMoment> = moments.iter().filter(|moment| matches!(moment.what, MomentKind::Step(_))).collect();
    let (header, rest) = root.split_vertically(HEADER);
    let (setup, rest) = rest.split_vertically(58 + STEP_ROW * steps.len() as i32);
    let (to_phone, rest) = rest.split_vertically(WAVES);
    let (to_meta, jitter) = rest.split_vertically(WAVES);
    paint_header(&header, judged)?;
    paint_setup(&setup, &steps)?;
    let seconds = end_s(judged);
    paint_waves(&to_phone, judged, DemoParty::Phone, &moments, seconds)?;
    paint_waves(&to_meta, judged, DemoParty::WhatsApp, &moments, seconds)?;
    paint_jitter(&jitter, judged, seconds)?;
    root.present()?;
    Ok(())
}

fn color(party: DemoParty) -> RGBColor {
    match party {
        DemoParty::Phone => PHONE,
        DemoParty::WhatsApp => WHATSAPP,
    }
}

fn font(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

/// Where the time axis ends.
fn end_s(judged: &JudgedCall) -> f64 {
    let ends = [DemoParty::Phone, DemoParty::WhatsApp].into_iter().filter_map(|listener| {
        let track = hearing::received_by(&judged.call, listener)?;
        Some(track.starts.as_secs_f64() + track.pcm.len() as f64 / f64::from(track.sample_hz))
    });
    ends.fold(1.0, f64::max)
}

fn paint_header(area: &Area<'_>, judged: &JudgedCall) -> Drawn {
    area.draw_text(&tell::title(judged.call.scene), &font(24, INK), (24, 22))?;
    match &judged.faults[..] {
        [] => {
            area.draw_text("Good: audio both ways, nothing clipped, all digits once.", &font(16, WHATSAPP), (24, 56))?
        }
        [fault] => area.draw_text(&format!("NOT good: {}", fault.what), &font(16, BAD), (24, 56))?,
        [fault, more @ ..] => {
            area.draw_text(&format!("NOT good: {} (and {} more)", fault.what, more.len()), &font(16, BAD), (24, 56))?;
        }
    }
    Ok(())
}

/// One row for each step, at its time.
fn paint_setup(area: &Area<'_>, steps: &[&DemoMoment]) -> Drawn {
    let last_ms = steps.last().map_or(1.0, |moment| ms(moment.after)).max(1.0);
    // Room for the words to the right of the last step.
    let right_ms = last_ms * 1.6;
    area.draw_text("Set-up, milliseconds since the offer", &font(15, INK), (24, 2))?;
    let below = area.margin(24, 8, 0, 24);
    let mut chart = ChartBuilder::on(&below)
        .set_label_area_size(LabelAreaPosition::Left, LABELS_LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 22)
        .build_cartesian_2d(0.0..right_ms, 0.0..steps.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_labels(12)
        .x_label_style(font(13, INK))
        .x_label_formatter(&|ms| format!("{ms:.0}"))
        .draw()?;
    let middle = Pos::new(HPos::Left, VPos::Center);
    for (row, moment) in steps.iter().enumerate() {
        let MomentKind::Step(step) = moment.what else { continue };
        let (x, y) = (ms(moment.after), steps.len() as f64 - row as f64 - 0.5);
        chart.draw_series([PathElement::new(vec![(0.0, y), (x, y)], FAINT)])?;
        chart.draw_series([Circle::new((x, y), 4, INK.filled())])?;
        let text = format!("{x:.1}  {step}");
        let label = EmptyElement::at((x, y)) + Text::new(text, (9, 1), font(14, INK).pos(middle));
        chart.draw_series([label])?;
    }
    Ok(())
}

/// The audio sent to `listener` above the audio it received, with the digits.
fn paint_waves(
    area: &Area<'_>,
    judged: &JudgedCall,
    listener: DemoParty,
    moments: &[DemoMoment],
    seconds: f64,
) -> Drawn {
    let speaker = if listener == DemoParty::Phone { DemoParty::WhatsApp } else { DemoParty::Phone };
    let title = match listener {
        DemoParty::Phone => "WhatsApp speaks, the phone receives",
        DemoParty::WhatsApp => "The phone speaks, WhatsApp receives",
    };
    area.draw_text(title, &font(15, INK), (24, 2))?;
    let hearing = judged.hearings.iter().find(|hearing| hearing.listener == listener);
    if let Some(speech) = hearing.and_then(|hearing| hearing.speech) {
        let text = format!(
            "{:.1} ms from sent to received, {:.0} ms of the clip's start missing (first word at {:.0} ms), likeness {:.3}",
            speech.delay_ms, speech.missing_ms, speech.first_word_ms, speech.similarity
        );
        let right = Pos::new(HPos::Right, VPos::Top);
        area.draw_text(&text, &font(13, INK).pos(right), (SIZE.0 as i32 - 24, 4))?;
    }
    let below = area.margin(24, 6, 0, 24);
    let mut chart = ChartBuilder::on(&below)
        .set_label_area_size(LabelAreaPosition::Left, LABELS_LEFT)
        .build_cartesian_2d(0.0..seconds, -2.1..2.1)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_labels(seconds.ceil() as usize + 1)
        .y_labels(0)
        .x_label_formatter(&|_| String::new())
        .draw()?;
    let middle = Pos::new(HPos::Right, VPos::Center);
    for (y, word, color) in [(1.05, "sent", SPOKEN), (-1.05, "received", color(listener))] {
        let label = EmptyElement::at((0.0, y)) + Text::new(word, (-10, 0), font(14, color).pos(middle));
        chart.draw_series([label])?;
    }
    for (track, y, color) in [
        (hearing::sent_to(&judged.call, listener), 1.05, SPOKEN),
        (hearing::received_by(&judged.call, listener), -1.05, color(listener)),
    ] {
        if let Some(track) = track {
            chart.draw_series([Polygon::new(envelope(&track, seconds, y), color.filled())])?;
        }
    }
    let top = Pos::new(HPos::Center, VPos::Center);
    for moment in moments {
        // Above the line, its length in ms below it.
        let MomentKind::Digit(press, received) = &moment.what else { continue };
        if press.by != speaker {
            continue;
        }
        let end = moment.after.as_secs_f64();
        let start = end - received.duration_ms / 1e3;
        chart.draw_series([Rectangle::new([(start, -2.05), (end, -0.05)], DIGIT.mix(0.22).filled())])?;
        let label = EmptyElement::at(((start + end) / 2.0, -1.05))
            + Text::new(received.digit.to_string(), (0, -22), font(18, DIGIT).pos(top))
            + Text::new(format!("{:.0}", received.duration_ms), (0, 22), font(11, DIGIT).pos(top));
        chart.draw_series([label])?;
    }
    Ok(())
}

/// The outline of a wave around `y`, at most one unit up and down, one pair of points for each half pixel.
fn envelope(track: &Track, seconds: f64, y: f64) -> Vec<(f64, f64)> {
    let columns = f64::from(SIZE.0) * 2.0;
    let window = ((seconds / columns * f64::from(track.sample_hz)) as usize).max(1);
    let starts = track.starts.as_secs_f64();
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for (n, chunk) in track.pcm.chunks(window).enumerate() {
        let x = starts + (n * window) as f64 / f64::from(track.sample_hz);
        let unit = |sample: Option<&i16>| f64::from(sample.copied().unwrap_or(0)) / 32_768.0;
        // A silent stretch stays visible as a line.
        above.push((x, y + unit(chunk.iter().max()).max(0.012)));
        below.push((x, y + unit(chunk.iter().min()).min(-0.012)));
    }
    above.extend(below.into_iter().rev());
    above
}

/// How late each packet came, against the first.
fn paint_jitter(area: &Area<'_>, judged: &JudgedCall, seconds: f64) -> Drawn {
    area.draw_text(
        "How late audio packets came, in ms, against the first (none while a digit sounds)",
        &font(15, INK),
        (24, 2),
    )?;
    let began = judged.call.began_at();
    let dots: Vec<(DemoParty, Vec<(f64, f64)>)> = [DemoParty::Phone, DemoParty::WhatsApp]
        .map(|listener| {
            let arrivals = hearing::arrivals(&judged.call, listener);
            let at = |at: std::time::Instant| at.saturating_duration_since(began);
            (listener, arrivals.iter().map(|a| (Duration::as_secs_f64(&at(a.at)), a.late_ms)).collect())
        })
        .into();
    let values = || dots.iter().flat_map(|(_, dots)| dots.iter().map(|(_, late)| *late));
    // Never less than 5 ms, so that a clean call looks clean.
    let (low, high) = (values().fold(-5.0, f64::min), values().fold(5.0, f64::max));
    let below = area.margin(24, 8, 0, 24);
    let mut chart = ChartBuilder::on(&below)
        .set_label_area_size(LabelAreaPosition::Left, LABELS_LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d(0.0..seconds, low * 1.1..high * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_labels(seconds.ceil() as usize + 1)
        .y_labels(6)
        .x_label_style(font(13, INK))
        .y_label_style(font(13, INK))
        .x_label_formatter(&|s| format!("{s:.0}"))
        .x_desc("seconds since the offer")
        .axis_desc_style(font(13, INK))
        .draw()?;
    for (listener, dots) in dots {
        chart.draw_series(dots.iter().map(|at| Circle::new(*at, 1, color(listener).filled())))?;
        let report = judged.hearings.iter().find(|hearing| hearing.listener == listener);
        let jitter = report.map_or(0.0, |hearing| hearing.report.jitter_ms);
        let x = if listener == DemoParty::Phone { 640 } else { 920 };
        area.draw(&Circle::new((x, 11), 4, color(listener).filled()))?;
        area.draw_text(&format!("{listener}, jitter {jitter:.1} ms"), &font(13, INK), (x + 10, 4))?;
    }
    Ok(())
}
