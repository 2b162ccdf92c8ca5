//! The figures as pictures.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use super::latencies::Latencies;
use super::sweep::Sweep;

const SIZE: (u32, u32) = (900, 420);
const INK: RGBColor = RGBColor(38, 44, 52);
const FAINT: RGBColor = RGBColor(222, 226, 231);
const FIRST: RGBColor = RGBColor(31, 105, 179);
const SECOND: RGBColor = RGBColor(24, 140, 82);

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A curve and its name.
struct Curve {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// How many packets were delayed by more than how much; both ways.
///
/// # Errors
/// The file cannot be written.
pub fn delays(path: &Path, title: &str, delay: &[Latencies; 2]) -> anyhow::Result<()> {
    let curve = |name, color, latencies: &Latencies| {
        let share = |n: i32| 1.0 - 10f64.powf(-f64::from(n) / 20.0);
        let points = (0..=80).map(|n| (f64::from(n) / 20.0, latencies.quantile(share(n)) as f64 / 1e6)).collect();
        Curve { name, color, points }
    };
    let curves = [curve("of those who offered", FIRST, &delay[0]), curve("of those who answered", SECOND, &delay[1])];
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let x = |nines: &f64| format!("{:.*} %", (*nines - 2.0).max(0.0) as usize, 100.0 - 100.0 * 10f64.powf(-nines));
    let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| {
        chart(&area, &format!("{title}: added delay in ms"), &curves, &x)?;
        Ok(area.present()?)
    });
    drawn.map_err(|error: Box<dyn std::error::Error + Send + Sync>| anyhow!("cannot draw {}: {error}", path.display()))
}

/// What a packet, and what a call costs among how many.
///
/// # Errors
/// The file cannot be written.
pub fn sweep(path: &Path, sweep: &Sweep) -> anyhow::Result<()> {
    paint_sweep(path, sweep).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn paint_sweep(path: &Path, sweep: &Sweep) -> Drawn {
    let area = SVGBackend::new(path, (SIZE.0, 3 * SIZE.1)).into_drawing_area();
    area.fill(&WHITE)?;
    let points = |of: &dyn Fn(&super::report::LoadReport) -> Option<f64>| {
        sweep.runs.iter().filter_map(|run| Some((run.calls as f64, of(run)?))).collect::<Vec<_>>()
    };
    let cpu = points(&|run| Some(run.target.as_ref()?.cpu_us_per_packet));
    let memory = points(&|run| {
        let [before, with, _] = run.target.as_ref()?.memory?;
        Some((with.rss as f64 - before.rss as f64) / 1e6)
    });
    let p50 = points(&|run| Some(run.delay_ms[0]?.p50));
    let p99 = points(&|run| Some(run.delay_ms[0]?.p99));
    let calls = |calls: &f64| format!("{calls:.0} calls");
    let curve = |name, color, points| Curve { name, color, points };
    let parts = area.split_evenly((3, 1));
    chart(&parts[0], &format!("{}: us of processor time per packet", sweep.work), &[curve("", FIRST, cpu)], &calls)?;
    chart(&parts[1], "MB of memory more than without calls", &[curve("", FIRST, memory)], &calls)?;
    let delays = [curve("p50", FIRST, p50), curve("p99", SECOND, p99)];
    chart(&parts[2], "added delay in ms", &delays, &calls)?;
    area.present()?;
    Ok(())
}

fn chart(area: &Area<'_>, title: &str, curves: &[Curve], x_label: &dyn Fn(&f64) -> String) -> Drawn {
    let most = |of: fn(&(f64, f64)) -> f64| curves.iter().flat_map(|curve| &curve.points).map(of).fold(0.0, f64::max);
    let (right, top) = (most(|point| point.0).max(1e-3), most(|point| point.1).max(1e-3) * 1.1);
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .caption(title, font(18))
        .margin(16)
        .set_label_area_size(LabelAreaPosition::Left, 60)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_labels(8)
        .y_labels(6)
        .label_style(font(13))
        .x_label_formatter(x_label)
        .draw()?;
    for (n, Curve { name, color, points }) in curves.iter().enumerate() {
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        if points.len() < 40 {
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, color.filled())))?;
        }
        area.draw_text(name, &("sans-serif", 14).into_font().color(color), (90, 50 + 20 * n as i32))?;
    }
    Ok(())
}
