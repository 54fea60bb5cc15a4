"""The names of the pydensecrf package on top of boxseg.crf: existing scripts run by changing the import.

`import pydensecrf.densecrf as dcrf` becomes `import boxseg.crf.pydensecrf.densecrf as dcrf`, and
`from pydensecrf.utils import ...` becomes `from boxseg.crf.pydensecrf.utils import ...`. Written from the
package's documentation, and from what scripts call and get.
"""
