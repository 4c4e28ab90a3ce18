"""The sliders in a real JupyterLab, driven through a real browser."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
INSTALL = "install Chromium with its driver (Debian and Ubuntu: apt install chromium chromium-driver) to run this test"
PATIENCE_S = 180


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip(INSTALL)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1300,1400"):
        options.add_argument(f"--{flag}")
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on localhost with a notebook of one cell; yields the address of that notebook."""
    folder = tmp_path_factory.mktemp("lab")
    cell = nbformat.v4.new_code_cell("from astro_sim.figures.explorer import explore\nexplore(rate_hz=0.5)")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / "panel.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--allow-root", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    home = {variable: str(folder / part) for variable, part in own.items()}  # not the user's settings and kernels
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | home)
        try:
            wait_for_server(f"http://127.0.0.1:{port}/api?token={token}", server, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb?reset&token={token}"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for_server(address, server, log):
    for _ in range(PATIENCE_S):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text())


def picture(browser):
    """Address of the panel's figure, which changes when it is drawn again."""
    images = browser.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output .widget-image")
    return images[0].get_attribute("src") if images else None


def readouts(browser):
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".widget-readout")]


def test_moving_a_slider_in_jupyterlab_changes_the_figure(browser, lab):
    browser.get(lab)
    wait = WebDriverWait(browser, PATIENCE_S)
    # The notebook is in the page, its indicator idle, before it is shown and has a kernel: wait for both.
    wait.until(lambda b: "| Idle" in b.find_element(By.ID, "jp-main-statusbar").text)
    editor = wait.until(element_to_be_clickable((By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell .cm-content")))
    editor.click()
    editor.send_keys(Keys.SHIFT, Keys.ENTER)
    before = wait.until(picture)
    start = ["0.00", "0.50", "1.00", "0.10"]
    wait.until(lambda b: readouts(b) == start)

    handles = browser.find_elements(By.CSS_SELECTOR, ".widget-slider .noUi-handle")
    assert len(handles) == 4
    for place, handle in enumerate(handles):
        handle.send_keys(Keys.ARROW_LEFT if place == 2 else Keys.ARROW_RIGHT)
        before = wait.until(lambda b, before=before: picture(b) if picture(b) != before else None)
        moved = readouts(browser)
        assert [new != old for new, old in zip(moved, start, strict=True)] == [k <= place for k in range(4)]
    size = browser.find_element(By.CSS_SELECTOR, ".jp-OutputArea-output .widget-image").size
    assert size["width"] > 600 and size["height"] > 300
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in errors if "astro" in message]
