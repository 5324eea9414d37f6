//! Plots of one service over the last minutes: what was measured, with axes and units, and the same as a table.

use yew::prelude::*;

use crate::history::{Sample, Series, EVERY_MS, MAX_SAMPLES};
use crate::words::clock;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 150.0;
/// Room for the labels of the axes.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// Rows of the table: one for every ten seconds.
const ROW_EVERY: usize = 5;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub series: Series,
}

/// The plots.
#[component]
pub fn Plots(props: &Props) -> Html {
    let samples = &props.series.samples;
    let plot = |title: &'static str, unit: &'static str, whole: bool, value: fn(&Sample) -> Option<f64>| {
        let points: Vec<Option<f64>> = samples.iter().map(value).collect();
        html! { <Plot {title} {unit} {whole} {points} /> }
    };
    html! {
        <div class="stack" data-testid="plots">
            <div class="plots">
                { plot("Delay of calls from here", "ms", false, |sample| sample.delay_ms) }
                { plot("Calls from here", "per second", false, |sample| Some(sample.calls)) }
                { plot("Events handled here", "per second", false, |sample| sample.load.map(|load| load.events)) }
                { plot("Servers", "tabs", true, |sample| Some(sample.servers as f64)) }
            </div>
            <details>
                <summary>{ "The same as a table" }</summary>
                <div class="table-card">
                    <table data-testid="plot-table">
                        <thead><tr><th scope="col">{ "Time" }</th><th scope="col" class="end">{ "Delay, ms" }</th><th scope="col" class="end">{ "Calls per second" }</th><th scope="col" class="end">{ "Events per second" }</th><th scope="col" class="end">{ "Servers" }</th></tr></thead>
                        <tbody>
                            { for samples.iter().rev().step_by(ROW_EVERY).map(|sample| html! {
                                <tr key={sample.at.to_string()}>
                                    <td data-label="Time" class="mono">{ clock(sample.at) }</td>
                                    <td data-label="Delay, ms" class="end mono">{ sample.delay_ms.map_or_else(|| "–".into(), number) }</td>
                                    <td data-label="Calls per second" class="end mono">{ number(sample.calls) }</td>
                                    <td data-label="Events per second" class="end mono">{ sample.load.map_or_else(|| "–".into(), |load| number(load.events)) }</td>
                                    <td data-label="Servers" class="end mono">{ sample.servers }</td>
                                </tr>
                            }) }
                        </tbody>
                    </table>
                </div>
            </details>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct PlotProps {
    title: &'static str,
    unit: &'static str,
    /// Are the values counts.
    whole: bool,
    /// The newest last; `None` where nothing was measured.
    points: Vec<Option<f64>>,
}

#[component]
fn Plot(props: &PlotProps) -> Html {
    let last = props.points.iter().rev().find_map(|point| *point);
    let most = props.points.iter().flatten().copied().fold(0.0, f64::max);
    let top = scale(most, props.whole);
    let x = |index: usize| {
        // The newest stands at the right edge, whatever the number of samples.
        let age = (props.points.len() - 1 - index) as f64;
        WIDTH - RIGHT - age * (WIDTH - LEFT - RIGHT) / (MAX_SAMPLES - 1) as f64
    };
    let y = |value: f64| TOP + (1.0 - (value / top).clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM);
    let minutes = MAX_SAMPLES as u32 * EVERY_MS / 60_000;
    let said = match last {
        Some(last) => format!(
            "{}, in {}, over the last {minutes} minutes: {} now, at most {}",
            props.title,
            props.unit,
            number(last),
            number(most)
        ),
        None => format!("{}: nothing was measured", props.title),
    };
    let tick = |value: f64| {
        let at = y(value).to_string();
        html! {
            <>
                <line class="plot-grid" x1={LEFT.to_string()} x2={(WIDTH - RIGHT).to_string()} y1={at.clone()} y2={at} />
                <text class="plot-text end" x={(LEFT - 6.0).to_string()} y={(y(value) + 4.0).to_string()}>{ number(value) }</text>
            </>
        }
    };
    let bottom = (HEIGHT - 8.0).to_string();
    html! {
        <figure class="plot card" data-testid="plot" data-plot={props.title}>
            <figcaption class="plot-head"><h3>{ props.title }</h3><span class="small faint">{ last.map_or_else(|| "nothing yet".to_owned(), |last| format!("{} {}", number(last), if props.whole && last == 1.0 { "tab" } else { props.unit })) }</span></figcaption>
            <svg viewBox={format!("0 0 {WIDTH} {HEIGHT}")} role="img" aria-label={said}>
                { tick(0.0) }
                { tick(top / 2.0) }
                { tick(top) }
                { for runs(&props.points).into_iter().map(|run| {
                    if let [(index, value)] = run[..] {
                        return html! { <circle class="plot-dot" cx={x(index).to_string()} cy={y(value).to_string()} r="2.5" /> };
                    }
                    let points = run.iter().map(|(index, value)| format!("{:.1},{:.1}", x(*index), y(*value)));
                    html! { <polyline class="plot-line" points={points.collect::<Vec<_>>().join(" ")} /> }
                }) }
                <text class="plot-text" x={LEFT.to_string()} y={bottom.clone()}>{ format!("{minutes} min ago") }</text>
                <text class="plot-text end" x={(WIDTH - RIGHT).to_string()} y={bottom}>{ "now" }</text>
            </svg>
        </figure>
    }
}

/// Stretches without a gap.
fn runs(points: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut open = false;
    for (index, point) in points.iter().enumerate() {
        match (point, runs.last_mut().filter(|_| open)) {
            (Some(value), Some(run)) => run.push((index, *value)),
            (Some(value), None) => runs.push(vec![(index, *value)]),
            (None, _) => {}
        }
        open = point.is_some();
    }
    runs
}

/// The end of an axis: 1, 2 or 5 times a power of ten, above what is drawn.
fn scale(most: f64, whole: bool) -> f64 {
    let least = if whole { 2.0 } else { 1.0 };
    let power = 10f64.powf(most.max(least).log10().floor());
    let top = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= most);
    let top = top.unwrap_or(10.0 * power).max(least);
    // Halves of tabs do not exist: the middle of the axis is a whole number as well.
    if whole && top == 5.0 {
        6.0
    } else {
        top
    }
}

/// Up to one decimal place.
fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths.fract() == 0.0 || tenths >= 100.0 {
        format!("{tenths:.0}")
    } else {
        format!("{tenths:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_and_gaps_stay_gaps() {
        let tops = [
            (0.0, false),
            (0.3, false),
            (1.2, false),
            (37.0, false),
            (501.0, false),
            (0.0, true),
            (3.0, true),
        ];
        assert_eq!(tops.map(|(most, whole)| scale(most, whole)), [1.0, 1.0, 2.0, 50.0, 1000.0, 2.0, 6.0]);
        let found = runs(&[None, Some(1.0), Some(2.0), None, Some(3.0), None]);
        assert_eq!(found, [vec![(1, 1.0), (2, 2.0)], vec![(4, 3.0)]]);
        assert_eq!([0.04, 4.26, 12.0, 123.4].map(number), ["0", "4.3", "12", "123"]);
    }
}
