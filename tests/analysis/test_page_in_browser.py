"""The page as a browser shows it: whole at any width, silent on the network, its choices at work."""

import pandas as pd
import pytest

ROWS = "[...document.querySelectorAll('{table} tbody tr')]"


@pytest.fixture(scope="module")
def page(browser, request):  # asks for the browser first: without one no report is made
    return request.getfixturevalue("report").page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_overflows_and_no_request_leaves_the_page(page, browser, width, scheme):
    browser.open(page, width, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert {each for each in browser.requests if not each.startswith("data:image/png;base64,")} == {page.as_uri()}
    assert browser.errors == []


def test_a_request_would_be_seen_and_is_refused(page, browser, tmp_path):
    asking = tmp_path / "asking.html"
    asking.write_text(page.read_text().replace("</main>", '<img src="http://127.0.0.1:9/picture.png"></main>'))
    browser.open(asking, 1400)
    assert any("Content Security Policy" in error for error in browser.errors)


def test_the_page_in_dark_is_dark_and_on_paper_is_light(page, browser):
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(page, 1400, "light")
    light = browser.evaluate(background)
    browser.open(page, 1400, "dark")
    dark = browser.evaluate(background)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert (light, dark) == ("rgb(246, 247, 248)", "rgb(21, 24, 27)")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_pictures_keep_their_grey_values_in_the_dark_and_fit_a_telephone(page, browser):
    browser.open(page, 390, "dark")
    shown = "document.querySelector('#examples_fewest_labels .white')"
    assert browser.evaluate(f"getComputedStyle({shown}).filter") == "none"
    assert browser.evaluate("getComputedStyle(document.querySelector('#convergence .white')).filter") != "none"
    assert browser.evaluate(f"{shown}.scrollWidth") <= browser.evaluate(f"{shown}.clientWidth")
    size = f"parseFloat(getComputedStyle({shown}.querySelector('text')).fontSize) * {shown}.querySelector('svg')"
    assert browser.evaluate(f"{size}.getScreenCTM().a") >= 9  # pixels


def test_a_figure_that_is_cut_on_a_telephone_says_that_it_can_be_scrolled(page, browser):
    hint = "getComputedStyle(document.querySelector('#{name} .white'), '::before').content"
    browser.open(page, 390)
    assert browser.evaluate("(each => each.scrollWidth > each.clientWidth)(document.querySelector('#speed_up .white'))")
    assert "sideways" in browser.evaluate(hint.format(name="speed_up"))
    assert browser.evaluate(hint.format(name="examples_fewest_labels")) == "none"  # it fits
    browser.open(page, 1400)
    assert browser.evaluate(hint.format(name="speed_up")) == "none"


def test_without_scripts_every_row_and_figure_is_there_and_no_choice_is_offered(page, browser):
    browser.open(page, 1400, script=False)
    assert browser.evaluate("document.querySelectorAll('select').length") == 0
    assert browser.evaluate("document.querySelectorAll('figure svg').length") == 12
    rows = len(pd.read_csv(page.parent / "tables" / "differences.csv"))
    assert browser.evaluate("document.querySelectorAll('#table-differences tbody tr').length") == rows


def test_a_choice_shows_the_rows_that_have_it_and_all_brings_them_back(page, browser):
    browser.open(page, 1400)
    table = pd.read_csv(page.parent / "tables" / "dice_by_class.csv")
    shown = ROWS.format(table="#table-dice_by_class") + ".filter(row => !row.hidden).length"
    choose = """(name, value) => {
        const controls = document.querySelector('#table-dice_by_class').parentElement.previousElementSibling
        const label = [...controls.querySelectorAll('label')].find(each => each.firstChild.textContent === name)
        const select = label.querySelector('select')
        select.value = value
        select.dispatchEvent(new Event('change'))
    }"""
    browser.evaluate(f"({choose})('class name', 'MYO')")
    assert browser.evaluate(shown) == (table["class_name"] == "MYO").sum()
    browser.evaluate(f"({choose})('variant', 'random')")
    assert browser.evaluate(shown) == ((table["class_name"] == "MYO") & (table["variant"] == "random")).sum()
    browser.evaluate(f"({choose})('class name', 'all'); ({choose})('variant', 'all')")
    assert browser.evaluate(shown) == len(table)


def test_a_target_of_convergence_can_be_chosen(page, browser):
    browser.open(page, 1400)
    table = pd.read_csv(page.parent / "tables" / "time_against_target.csv")
    browser.evaluate("""(() => {
        const controls = document.querySelector('#table-time_against_target').parentElement.previousElementSibling
        const labels = [...controls.querySelectorAll('label')]
        const select = labels.find(each => each.firstChild.textContent === 'share of reference').querySelector('select')
        select.selectedIndex = 1
        select.dispatchEvent(new Event('change'))
    })()""")
    shown = browser.evaluate(ROWS.format(table="#table-time_against_target") + ".filter(row => !row.hidden).length")
    assert shown == (table["share_of_reference"] == table["share_of_reference"].iloc[0]).sum() < len(table)


def test_one_arm_can_be_shown_in_every_figure_and_its_points_say_their_numbers(page, browser):
    browser.open(page, 1400)
    browser.evaluate("""(() => {
        const select = document.querySelector('nav + .controls select')
        select.value = 'random'
        select.dispatchEvent(new Event('change'))
    })()""")
    opacity = "getComputedStyle(document.querySelector('#error_vs_labels [data-arm={arm}]')).opacity"
    assert browser.evaluate(opacity.format(arm='"random"')) == "1"
    assert float(browser.evaluate(opacity.format(arm='"byol-natural"'))) < 0.2
    errors = pd.read_csv(page.parent / "tables" / "errors.csv").set_index(["variant", "label_count"])
    median = errors.loc[("random", 36), "median_error"]
    titles = browser.evaluate("[...document.querySelectorAll('#error_vs_labels title')].map(each => each.textContent)")
    assert any(title.startswith("random: 36 slices, ") and f"median {median:.3f}" in title for title in titles)
