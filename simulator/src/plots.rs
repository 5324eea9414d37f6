//! Plots of what runs found, as SVG.

use std::path::Path;

use anyhow::{anyhow, Context as _};
use plotters::prelude::*;

use crate::report::RunReport;

const SIZE: (u32, u32) = (900, 360);
const BAR: RGBColor = RGBColor(0x2f, 0x6f, 0xd0);

/// Writes `pauses.svg`, `gaps.svg` and `replies.svg` into a folder that exists.
pub fn write_all(folder: &Path, name: &str, runs: &[RunReport]) -> anyhow::Result<()> {
    let pauses: Vec<u64> = runs.iter().flat_map(|run| run.handovers.pauses_ms.iter().copied()).collect();
    let gaps: Vec<u64> = runs.iter().map(|run| run.longest_gap_ms).collect();
    let seconds = runs.iter().map(|run| run.replies_per_second.len()).max().unwrap_or(0);
    let in_second = |second: usize| runs.iter().filter_map(|run| run.replies_per_second.get(second)).sum();
    let replies: Vec<u64> = (0..seconds).map(in_second).collect();
    let histograms = [
        ("pauses.svg", "pause of a handover, ms", &pauses),
        ("gaps.svg", "longest gap between replies, ms", &gaps),
    ];
    for (file, label, values) in histograms {
        let (bins, width) = histogram(values);
        bars(&folder.join(file), name, (label, "count"), &bins, width)?;
    }
    bars(&folder.join("replies.svg"), name, ("virtual second", "replies"), &replies, 1)
}

/// Counts in at most 60 bins of equal width, from zero on; and that width.
fn histogram(values: &[u64]) -> (Vec<u64>, u64) {
    let most = values.iter().copied().max().unwrap_or(0);
    let width = (most / 60 + 1).next_power_of_two();
    let mut bins = vec![0; usize::try_from(most / width).unwrap_or(0) + 1];
    for value in values {
        if let Some(bin) = bins.get_mut(usize::try_from(value / width).unwrap_or(usize::MAX)) {
            *bin += 1;
        }
    }
    (bins, width)
}

fn bars(path: &Path, title: &str, (x, y): (&str, &str), bins: &[u64], width: u64) -> anyhow::Result<()> {
    let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let right = (bins.len() as u64).max(1) * width;
        let top = bins.iter().copied().max().unwrap_or(0).max(1);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0..right, 0..top + top / 10 + 1)?;
        chart.configure_mesh().disable_x_mesh().x_desc(x).y_desc(y).draw()?;
        chart.draw_series(bins.iter().enumerate().map(|(at, count)| {
            let left = at as u64 * width;
            Rectangle::new([(left, 0), (left + width, *count)], BAR.filled())
        }))?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("{error}")).with_context(|| format!("cannot draw {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_every_value() {
        assert_eq!(histogram(&[]), (vec![0], 1));
        assert_eq!(histogram(&[0, 1, 1, 3]), (vec![1, 2, 0, 1], 1));
        let (bins, width) = histogram(&[0, 100, 1000]);
        assert_eq!((bins.iter().sum::<u64>(), width), (3, 32));
        assert!(bins.len() <= 60);
    }

    #[test]
    fn plots_show_what_was_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut run = RunReport::new(1);
        run.handovers.pauses_ms = vec![5, 7, 7];
        run.replies_per_second = vec![10, 20, 15];
        write_all(folder.path(), "three handovers", &[run]).expect("plots");
        for file in ["pauses.svg", "gaps.svg", "replies.svg"] {
            let text = std::fs::read_to_string(folder.path().join(file)).expect(file);
            assert!(
                text.starts_with("<svg") && text.contains("three handovers") && text.contains("<rect"),
                "{file}"
            );
        }
    }
}
