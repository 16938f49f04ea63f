"""A headless Chromium, for the console's page."""

import os
import pathlib
import shutil

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "no Chromium is installed: Ubuntu has it as a snap only" \
    if not (CHROMIUM and DRIVER) else None

ARGUMENTS = [
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1000",
    "--no-sandbox",  # its sandbox wants rights that containers do not give; it sees our page only
]


def start(folder):
    from selenium import webdriver  # only where there is one
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in [*ARGUMENTS, f"--user-data-dir={folder}"]:
        options.add_argument(argument)
    return Page(webdriver.Chrome(options=options, service=Service(DRIVER)))


class Page:
    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        self.driver.get(url)
        return self

    def find(self, selector):
        """The first that is shown, or None. In one step, since the page may redraw it meanwhile."""
        return self.run("""return [...document.querySelectorAll(arguments[0])]
                             .find(e => e.checkVisibility()) ?? null""", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        """What a person reads there; "" where nothing is shown. The page may redraw it meanwhile."""
        return self.run("""return [...document.querySelectorAll(arguments[0])]
                             .filter(e => e.checkVisibility()).map(e => e.innerText).join("\\n")""",
                        selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def click(self, selector):
        from selenium.common.exceptions import StaleElementReferenceException
        for _ in range(10):
            try:
                return self.find(selector).click()
            except StaleElementReferenceException:
                pass  # redrawn just now
        raise TimeoutError(f"{selector} is redrawn all the time")

    def write(self, selector, text):
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def press(self, *keys):
        """Keys for whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def prefer(self, scheme):
        """dark or light"""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def resize(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})

    def log(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def picture(self, name):
        """For people, in the folder that SCREENSHOTS names."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.driver.save_screenshot(str(pathlib.Path(folder) / f"{name}.png"))

    def close(self):
        self.driver.quit()
