for (const slider of document.querySelectorAll('.wipe input')) {
  const show = () => slider.parentElement.style.setProperty('--cut', slider.value + '%');
  slider.addEventListener('input', show);
  show();
}
